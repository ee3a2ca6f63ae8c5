"""`linkweather collector`, and the commands that ask a running collector; each is imported when it is called."""

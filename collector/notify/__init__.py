"""Who is told of incidents: notes wait for each target, and leave as one message, at least once."""

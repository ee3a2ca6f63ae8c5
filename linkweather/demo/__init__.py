"""The whole system in a lab: starts the commands that a user would, each as its own process."""

"""What is wrong now, since when, and what explains it: conditions → held conditions → incidents. Pure."""

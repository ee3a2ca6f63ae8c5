"""What links and sites are like now: pure, from rows and times."""

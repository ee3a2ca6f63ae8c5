"""One link measured by hand: choosing the method, the run, its live display and its summary."""

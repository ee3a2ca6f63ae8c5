"""One link measured ad hoc: choosing the method, the run, its live display, its summary, its comparison."""

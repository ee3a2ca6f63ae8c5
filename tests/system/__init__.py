"""The whole system, from its real processes: what it keeps when any of them dies, and what it says to bad input."""

"""Chaos: the whole system as processes, broken on purpose, and a ledger that must balance afterwards."""

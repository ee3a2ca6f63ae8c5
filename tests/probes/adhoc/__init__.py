"""Measuring one link ad hoc."""

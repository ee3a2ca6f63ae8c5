"""Measuring one link by hand."""

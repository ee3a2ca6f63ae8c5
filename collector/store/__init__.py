"""The journal: the collector's record in one DuckDB file."""

"""The store: the journal in one DuckDB file, with decision log and quarantine."""

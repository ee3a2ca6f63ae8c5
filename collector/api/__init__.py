"""The HTTP API over what the collector holds."""

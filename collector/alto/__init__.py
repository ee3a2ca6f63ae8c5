"""RouteUpdater and link state as ALTO (RFC 7285 and its extensions)."""

"""STAMP (RFC 8762) on kernel timestamps: packets, sessions, sender and reflector."""

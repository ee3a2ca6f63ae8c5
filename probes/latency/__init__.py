"""Latency: one engine on kernel timestamps with a prober per method, and STAMP (RFC 8762) with its reflector."""

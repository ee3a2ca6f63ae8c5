"""The HTTP API: questions, events, errors, documentation, and the server."""

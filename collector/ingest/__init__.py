"""Ingest, MQTT → journal: admission of reports, commits in batches, acknowledgement; and the embedded broker."""

"""The way of a report out of a site: written to the outbox, sent, and deleted once the collector has committed it."""

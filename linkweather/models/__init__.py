"""What the HTTP API answers and the event stream carries: filled by the collector, read by clients."""

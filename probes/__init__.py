"""What runs at a site: latency, throughput, the schedule, the outbox and the daemon that wires them."""

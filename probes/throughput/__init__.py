"""Throughput by the iperf3 program: whose turn it is, leases, the negotiation, one test and its stop rule."""

"""Throughput by the iperf3 program: its runner, the lease that keeps tests apart, the invitations."""

"""Which site should run a job, or which sites several: stages, queue, devices, deadline, price. Pure logic."""

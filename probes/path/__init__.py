"""The route of a link's packets: constant-flow traceroute in a child process, and what its change means."""

"""The shared language of probes and collector: messages, topics, the mesh, errors, the root command."""

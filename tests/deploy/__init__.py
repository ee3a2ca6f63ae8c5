"""From nothing to a mesh on freshly booted Debian machines, as docs/deploying.md has it: `make deploy-test`."""

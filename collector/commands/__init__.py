"""The commands `collector`, and those that ask a running one."""

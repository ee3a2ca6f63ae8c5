"""The command line: the table of commands, shared options, tables for people."""

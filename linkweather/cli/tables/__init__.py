"""Answers as tables for people, in a terminal."""

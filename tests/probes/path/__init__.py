"""Tests of path tracing."""

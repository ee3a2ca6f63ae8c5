"""Tests of what is installed: wheels, Debian packages, manifests, and files of earlier releases."""

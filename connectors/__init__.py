"""Connectors: one package per platform kind, plain Python, usable from a script without Django or a database."""

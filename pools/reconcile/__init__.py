"""Loops. The only code that talks to platforms, and never inside a transaction."""

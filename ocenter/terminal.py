"""What `manage.py up` says to the person who typed it."""

import sys


def say(text: str) -> None:
    """Write a line at once, since what follows may take long."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()

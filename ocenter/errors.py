"""The one error that ends a command with a sentence instead of a traceback."""


class Trouble(Exception):
    """Something the person at the keyboard can put right; the text is one sentence that names the way out."""

"""Keep known secrets out of texts that people, logs and answers get to see."""

import base64
from collections.abc import Iterable
from urllib.parse import quote

_SHORTEST = 4
"""Shorter values would blank out innocent text, and are no secrets worth the name."""


class Censor:
    """Replaces every known secret, also as it looks in a URL or in base64, by ``***``. Learns more with ``add``."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._hidden: tuple[str, ...] = ()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Learn secrets. A value of several lines (a key in PEM) is also hidden line by line."""
        found = set(self._hidden)
        for secret in secrets:
            for text in (secret, *secret.splitlines()):
                if len(text := text.strip()) >= _SHORTEST:
                    found |= {text, quote(text, safe=""), base64.b64encode(text.encode()).decode().rstrip("=")}
        # The longest first: a secret may be part of another one.
        self._hidden = tuple(sorted(found, key=lambda text: (-len(text), text)))

    def __call__(self, text: str) -> str:
        """Return the text without any known secret."""
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        return text

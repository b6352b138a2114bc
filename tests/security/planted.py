"""Secrets that are planted, and every form in which one of them would still be found."""

import base64
import json
import secrets
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_SHORTEST_LINE = 20


def made_up(what: str) -> str:
    """Return a secret with everything in it that some escaping would change."""
    return f"pl4nted/{what}+{secrets.token_hex(8)}=&"


class Planted:
    """Secrets by name. ``found_in`` names those that a text holds, however it is written."""

    def __init__(self, **known: str) -> None:
        self._forms: dict[str, set[bytes]] = {}
        for name, secret in known.items():
            self.add(name, secret)

    def add(self, name: str, secret: str) -> str:
        """Plant one more and return it. Of one with several lines each line that is long enough is one."""
        lines = [line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE and "-----" not in line]
        texts = lines if len(secret.splitlines()) > 1 else [secret]
        self._forms.setdefault(name, set()).update(form for text in texts for form in _forms(text))
        return secret

    def found_in(self, *texts: str | bytes) -> set[str]:
        """Return the names of all secrets in the texts."""
        raw = [text.encode() if isinstance(text, str) else text for text in texts]
        return {name for name, forms in self._forms.items() if any(form in text for form in forms for text in raw)}


def _forms(secret: str) -> Iterable[bytes]:
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield json.dumps(secret)[1:-1].encode()
    yield repr(secret)[1:-1].encode()
    yield secret.replace("&", "&amp;").encode()
    yield quote(secret, safe="").encode()
    yield quote(secret).encode()
    yield quote_plus(secret).encode()
    for start in range(3):  # base64 looks otherwise at each offset within a longer text
        whole = base64.b64encode(b"\0" * start + raw)
        yield whole[4 if start else 0 : -4]

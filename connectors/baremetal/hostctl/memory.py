"""What the helper keeps between two calls: the document, and up to which generation a target was given back."""

from __future__ import annotations

import json

from .document import Document, read
from .host import Host

DESIRED, RELEASED = "/var/lib/ocenter/desired.json", "/var/lib/ocenter/released.json"
MOST_RELEASED = 64


def saved(host: Host) -> Document | None:
    """Return the document that the host carries."""
    text = host.text(DESIRED)
    return None if text is None else read(text)


def released(host: Host, document: Document) -> int:
    """Return the last generation at which the document's target was given back, -1 when it never was."""
    return dict(_all(host)).get(_target(document), -1)


def keep_released(host: Host, document: Document) -> None:
    """Remember that all of a target is given back, so that no older document comes after it: the last MOST_RELEASED."""
    known, target = _all(host), _target(document)
    if (target, document.generation) not in known:
        kept = [*(each for each in known if each[0] != target), (target, document.generation)]
        host.write(RELEASED, json.dumps(kept[-MOST_RELEASED:]), 0o600)


def _all(host: Host) -> list[tuple[tuple[str, str], int]]:
    listed = json.loads(host.text(RELEASED) or "[]")
    return [((installation, target), generation) for (installation, target), generation in listed]


def _target(document: Document) -> tuple[str, str]:
    return document.installation, document.target

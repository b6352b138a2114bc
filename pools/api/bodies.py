"""Answers as JSON: made once, though the version, the stored answer of a key and the answer itself all need it."""

from typing import Any

import msgspec
from rest_framework.response import Response


def encoded(response: Response) -> bytes:
    """Return what an answer says as JSON, nothing of what says nothing. The answer remembers it while its data stay."""
    if response.data is None:
        return b""
    data, body = getattr(response, "ocenter_body", (None, b""))
    if data is not response.data:
        body = msgspec.json.encode(response.data)
        remember(response, body)
    return body


def remember(response: Response, body: bytes) -> None:
    """Note what the data of an answer are as JSON."""
    noted: Any = response
    noted.ocenter_body = response.data, body

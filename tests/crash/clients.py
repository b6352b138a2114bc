"""Clients of web servers that may be gone: each asks again, with the same key and elsewhere, until it is answered."""

import http.client
import itertools
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from threading import Event
from typing import Any
from uuid import UUID

from tests.crash.site import PATIENCE_SECONDS

KEPT = 3
PAUSE_SECONDS = 0.1


class Client:
    """Asks for allocations and gives all but the last few back. ``wanted`` is the state that each shall come to."""

    def __init__(self, addresses: Sequence[str], token: str, body: dict[str, Any]) -> None:
        self._addresses = itertools.cycle(addresses)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._body = body
        self.wanted: dict[UUID, str] = {}
        self.repeats = 0

    def live(self, is_over: Event) -> None:
        while not is_over.wait(PAUSE_SECONDS):
            made = UUID(self._post("/allocations", self._body)["id"])
            assert made not in self.wanted, "two requests have one allocation"
            self.wanted[made] = "active"
            for id in [id for id, state in self.wanted.items() if state == "active"][:-KEPT]:
                self._post(f"/allocations/{id}/release")
                self.wanted[id] = "released"

    def _post(self, path: str, body: Any = None) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._try(path, b"" if body is None else json.dumps(body).encode(), key)
            except urllib.error.HTTPError as error:
                # 409: the first try still runs, or all devices are taken at the moment.
                if error.code < 500 and error.code != http.HTTPStatus.CONFLICT:
                    raise AssertionError(error.read()) from error
            except (OSError, http.client.HTTPException):
                self.repeats += 1
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(PAUSE_SECONDS)

    def _try(self, path: str, body: bytes, key: dict[str, str]) -> Any:
        address = f"{next(self._addresses)}/api/v1{path}"
        asked = urllib.request.Request(address, body, self._headers | key, method="POST")
        with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

"""A REST request whose process is killed: `python -m tests.api.dying DATABASE TOKEN KEY POINT [PATH BODY]`."""

import json
import os
import signal
import sys
from typing import Any

import django


def main(database: str, token: str, key: str, point: str, path: str = "/pools", body: str = "") -> None:
    """Register a pool named after the key, or post something else, and die at the point.

    "before the commit", "before the answer", or "in the middle" of a write that commits piece by piece.
    """
    django.setup()
    from django.db import connection
    from django.test import Client
    from django.test.utils import setup_test_environment

    from pools.api import idempotency as edge
    from pools.services import claiming, idempotency

    setup_test_environment()
    connection.settings_dict["NAME"] = database
    if point == "before the commit":
        idempotency.keep = _dying_after(idempotency.keep)
    elif point == "in the middle":
        claiming.attempt = _dying_after(claiming.attempt)
    else:
        edge.once = _dying_after(edge.once)
        edge.in_pieces = _dying_after(edge.in_pieces)
    Client().post(
        f"/api/v1{path}",
        body or json.dumps({"name": key, "kind": "simulated", "credential": {"token": "any"}}),
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": key},
    )


def _dying_after(real: Any) -> Any:
    def last(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    return last


if __name__ == "__main__":
    main(*sys.argv[1:])

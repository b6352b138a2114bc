"""A REST request whose process is killed: `python -m tests.api.dying DATABASE TOKEN KEY POINT`."""

import json
import os
import signal
import sys
from typing import Any

import django


def main(database: str, token: str, key: str, point: str) -> None:
    """Register a pool named after the key, and die at the point: "before the commit" or "before the answer"."""
    django.setup()
    from django.db import connection
    from django.test import Client
    from django.test.utils import setup_test_environment

    from pools.api import idempotency as edge
    from pools.services import idempotency

    setup_test_environment()
    connection.settings_dict["NAME"] = database
    if point == "before the commit":
        idempotency.keep = _dying_after(idempotency.keep)
    else:
        edge.once = _dying_after(edge.once)
    Client().post(
        "/api/v1/pools",
        json.dumps({"name": key, "kind": "simulated", "credential": {"token": "any"}}),
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

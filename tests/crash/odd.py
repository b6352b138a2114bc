"""A worker that is not as it should be: `python -m tests.crash.odd TIMES AHEAD_SECONDS`.

It sends each message so often, and its clock is so far ahead of the others'.
"""

import os
import sys
from datetime import datetime, timedelta
from typing import Any

import django


def main(times: int, ahead: timedelta) -> None:
    """Work like ``ocenter.worker`` otherwise."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")
    django.setup()
    from django.utils import timezone

    from ocenter import worker
    from ocenter.env import load
    from pools import dispatch

    send, now = dispatch._send, timezone.now

    def sent_so_often(*message: Any) -> None:
        for _ in range(times):
            send(*message)

    def wrong() -> datetime:
        return now() + ahead

    # This process is made to be wrong; its own names are the only place where it can be.
    setattr(dispatch, "_send", sent_so_often)  # noqa: B010  # a function, which only tests change
    setattr(dispatch, "_is_waiting", lambda *_: False)  # noqa: B010  # or nine of ten were kept back
    setattr(timezone, "now", wrong)  # noqa: B010  # as above
    worker.work(load())


if __name__ == "__main__":
    main(int(sys.argv[1]), timedelta(seconds=float(sys.argv[2])))

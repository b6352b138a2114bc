"""The time that all workers agree on: the database's, for what they read there was written by others."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection


def of_database() -> Callable[[], datetime]:
    """Return a clock that is set by the database now and goes on by itself, for one task.

    Whatever this machine's own clock says, and however it jumps meanwhile: turns of others do not seem to be over, nor
    leases, and nothing that is due seems to have time. One query.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        set_at, began = cursor.fetchone()[0], time.monotonic()
    return lambda: set_at + timedelta(seconds=time.monotonic() - began)

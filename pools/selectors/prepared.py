"""Cursors for the few statements that every claim runs: the server plans each once a connection and not every time.

Planning is as dear as running them: a claim of its own costs the server half without it.
"""

from typing import Any

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper

from pools.selectors import columns


def cursor() -> CursorWrapper:
    """Return a cursor of the connection of this thread whose statements are prepared, to be used as any other.

    Its parameters travel beside the statement, so that the server must see by casts of what type each is. Raises
    django.db.OperationalError.
    """
    connection.ensure_connection()
    found: Any = psycopg.Cursor(connection.connection)  # what Django wraps is one of the driver's
    return connection.make_debug_cursor(found) if connection.queries_logged else connection.make_cursor(found)


def begin(connection: Any, **_signal: Any) -> None:
    """Let a connection that Django just made, or took from its pool, prepare what comes by these cursors.

    One plan for all values: those of a statement differ in nothing that a plan would follow.
    """
    raw: psycopg.Connection = connection.connection
    columns.register(raw)
    if raw.prepare_threshold is None:
        raw.execute("SET plan_cache_mode = force_generic_plan")
        raw.prepare_threshold = 0

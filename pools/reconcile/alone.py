"""One process at a time for what hints repeat while a far end lets us wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection


@contextmanager
def alone(pool_id: UUID, seed: int) -> Iterator[bool]:
    """Yield whether nobody else does this to the pool; ``seed`` tells apart what is done.

    A lock of the session, so that it ends with this process or its connection.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, %s))", [str(pool_id), seed])
        is_alone = bool(cursor.fetchone()[0])
    try:
        yield is_alone
    finally:
        if is_alone and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, %s))", [str(pool_id), seed])

"""The sealer: what the logs hold becomes provable. Rows commit unchained; every few seconds those that are complete
get a seal, chained to the one before and signed by a key that lies outside of the database.

Complete are the rows of transactions older than the oldest running one: nothing can come between them any more.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import Final

import structlog
from django.core.cache import cache
from django.db import connection, transaction
from redis.exceptions import RedisError

from pools.domain import seals
from pools.domain.seals import STREAMS, Row, Seal, SealHead
from pools.selectors import seals as sealed
from pools.services import seal_keys, writing

log = structlog.get_logger(__name__)

ROWS_IN_SEAL: Final = 2000
SEALS_AT_ONCE: Final = 5
"""For each stream at each tick, so that a backlog never keeps the tick for long."""
_LOCK: Final = 0x7365616C  # "seal"


def seal(*, now: datetime) -> int:
    """Seal what is complete, and return how many rows. Two sealers at once are harmless: one finds the lock taken."""
    if not seal_keys.are_there():
        log.warning("nothing_sealed", reason="no key to sign with is set")
        return 0
    return sum(_seal_stream(stream, now) for stream in STREAMS)


def _seal_stream(stream: str, now: datetime) -> int:
    count = 0
    for _ in range(SEALS_AT_ONCE):
        made = _seal_next(stream, now)
        count += len(made.ids) if made else 0
        if made is None or len(made.ids) < ROWS_IN_SEAL:
            break
    return count


@writing.transaction
def _seal_next(stream: str, now: datetime) -> Seal | None:
    if not _lock(stream):
        return None
    head, place = sealed.last(stream)
    rows = sealed.complete_rows(stream, place, ROWS_IN_SEAL)
    if not rows:
        return None
    made = seals.made(stream, _of_one_month(rows), head, key_id=seal_keys.signing_id(), now=now)
    _insert(made, seal_keys.sign(made.statement))
    transaction.on_commit(lambda: _note(made))
    return made


def _of_one_month(rows: Sequence[Row]) -> list[Row]:
    month = seals.month_of(rows[0].at)
    return list(takewhile(lambda row: seals.month_of(row.at) == month, rows))


def _lock(stream: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, STREAMS.index(stream)])
        return bool(cursor.fetchone()[0])


def _insert(made: Seal, signature: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO seal (stream, number, month, from_xid, to_xid, row_count, ids, leaves, root, previous_root,
                signature, key_id, sealed_at)
            VALUES (%s, %s, %s, %s::xid8, %s::xid8, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                made.stream,
                made.number,
                made.month,
                str(made.from_xid),
                str(made.to_xid),
                len(made.ids),
                made.ids,
                made.leaves,
                made.root,
                made.previous_root,
                signature,
                made.key_id,
                made.sealed_at,
            ],
        )


# --- what is remembered outside of the database: who can rewrite it can take away its last seals and make others ------


def noted(stream: str) -> SealHead | None:
    """Return the newest seal that a sealer remembers to have made; None when nobody remembers any."""
    try:
        number, root = cache.get(_key(stream), (0, ""))
    except RedisError:
        return None
    return SealHead(number=number, root=root) if number else None


def note(stream: str, head: SealHead | None) -> None:
    """Remember this as the newest seal, whatever was remembered before: the database was restored from a backup."""
    if head is None:
        cache.delete(_key(stream))
    else:
        cache.set(_key(stream), (head.number, head.root), timeout=None)


def _note(made: Seal) -> None:
    """Remember a new seal, unless the remembered one is not in the chain any more: then that one is the evidence."""
    log.info("sealed", stream=made.stream, seal=made.number, rows=len(made.ids), root=made.root.hex())
    before = noted(made.stream)
    if before is not None and sealed.root(made.stream, before.number) != before.root:
        log.error("seal_lost", stream=made.stream, seal=before.number, root=before.root)
        return
    try:
        note(made.stream, SealHead(number=made.number, root=made.root.hex()))
    except RedisError:
        log.warning("seal_not_noted", stream=made.stream, seal=made.number)


def _key(stream: str) -> str:
    return f"sealed:{stream}"

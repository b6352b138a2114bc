"""The answers that Idempotency-Keys stand for: each committed with the write it tells of, and kept for a day."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.utils import InterfaceError, OperationalError
from psycopg.errors import LockNotAvailable

from pools.domain.errors import KeyInProgress, KeyReused
from pools.models import IdempotencyKey
from pools.selectors import columns, prepared

KEPT_FOR: Final = timedelta(hours=24)
BODY_MOST_BYTES: Final = 64 * 1024
_WAITS: Final = "10s"
_SWEPT_AT_ONCE: Final = 10_000
_LOCK_SEED: Final = 50  # other locks of the session have others

# A key whose day is over but which nobody swept yet is a new one.
_OR_OLD: Final = """
ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = NULL, headers = '{}',
    body = NULL, object_ids = excluded.object_ids, created_at = excluded.created_at
WHERE kept.created_at <= %(old)s::timestamptz
RETURNING id
"""
# Waits while another transaction holds the same key.
_CLAIM: Final = f"""
INSERT INTO idempotency_key AS kept (user_id, key, fingerprint, headers, object_ids, created_at)
VALUES (%(user_id)s, %(key)s, %(fingerprint)s, '{{}}', '{{}}', %(now)s)
{_OR_OLD}
"""
# As well, after whoever has it for the session; for some time only, like all that waits here.
_CLAIM_IN_PIECES: Final = f"""
WITH waits AS MATERIALIZED (SELECT set_config('lock_timeout', '{_WAITS}', true)),
mine AS MATERIALIZED (
    SELECT pg_advisory_lock(hashtextextended(%(word)s::text, %(seed)s::bigint)) FROM waits WHERE set_config <> '')
INSERT INTO idempotency_key AS kept (user_id, key, fingerprint, headers, object_ids, created_at)
SELECT %(user_id)s::uuid, %(key)s::text, %(fingerprint)s::bytea, '{{}}'::jsonb, %(object_ids)s::uuid[],
    %(now)s::timestamptz
FROM mine
{_OR_OLD}
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given. ``body`` is None when it was too long; ``object_ids`` tell what was made or changed."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    object_ids: Collection[UUID]


@dataclass(frozen=True, slots=True)
class Begun:
    """A write that goes on in pieces: the ids of what it makes, and whether somebody was at it before and died."""

    object_ids: tuple[UUID, ...]
    is_again: bool


_TAKE: Final = """
INSERT INTO idempotency_key AS kept (user_id, key, fingerprint, headers, object_ids, created_at)
SELECT user_id, key, fingerprint, '{}', '{}', %(now)s
FROM unnest(%(users)s::uuid[], %(keys)s::text[], %(fingerprints)s::bytea[]) new (user_id, key, fingerprint)
ORDER BY user_id, key
ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = NULL, headers = '{}',
    body = NULL, object_ids = '{}', created_at = excluded.created_at
WHERE kept.created_at <= %(old)s
RETURNING user_id, key
"""
# Every one conflicts with the row that this transaction took, which is found by its key whatever the statistics say:
# they are those of a table that was small when the statement was planned.
_KEEP: Final = """
INSERT INTO idempotency_key (user_id, key, fingerprint, status, headers, body, object_ids, created_at)
SELECT user_id, key, '', status, coalesce((%(headers_known)s::jsonb[])[headers_number], headers::jsonb), body,
    (%(objects)s::uuid[])[objects_first:objects_last], to_timestamp(0)
FROM unnest(%(users)s::uuid[], %(keys)s::text[], %(statuses)s::smallint[], %(headers)s::text[],
            %(headers_number)s::integer[], %(bodies)s::bytea[], %(objects_first)s::integer[],
            %(objects_last)s::integer[])
    a (user_id, key, status, headers, headers_number, body, objects_first, objects_last)
ON CONFLICT (user_id, key) DO UPDATE SET status = excluded.status, headers = excluded.headers, body = excluded.body,
    object_ids = excluded.object_ids
"""


@dataclass(frozen=True, slots=True)
class Once:
    """The key of one of many requests that are committed together. ``answer`` makes the answer of what was made."""

    user_id: UUID
    key: str
    fingerprint: bytes
    answer: Callable[[Any], Kept]


def used(onces: Sequence[Once], *, now: datetime) -> set[tuple[UUID, str]]:
    """Return those of the keys that were answered before: (user id, key). One query."""
    with prepared.cursor() as cursor:
        cursor.execute(
            "SELECT k.user_id, k.key FROM idempotency_key k JOIN unnest(%s::uuid[], %s::text[]) a (user_id, key)"
            " ON k.user_id = a.user_id AND k.key = a.key WHERE k.created_at > %s",
            [
                columns.uuids(once.user_id for once in onces),
                columns.encoded([once.key.encode() for once in onces]),
                now - KEPT_FOR,
            ],
        )
        return set(cursor.fetchall())


def take_all(onces: Sequence[Once], *, now: datetime) -> set[tuple[UUID, str]]:
    """Take different keys in the caller's transaction; return those that nobody had taken: (user id, key).

    Waits for whoever takes one of them at this moment.
    """
    with prepared.cursor() as cursor:
        cursor.execute(
            _TAKE,
            {
                "users": columns.uuids(once.user_id for once in onces),
                "keys": columns.encoded([once.key.encode() for once in onces]),
                "fingerprints": columns.blobs([once.fingerprint for once in onces]),
                "now": now,
                "old": now - KEPT_FOR,
            },
        )
        return set(cursor.fetchall())


def keep_all(answered: Sequence[tuple[Once, Kept]]) -> None:
    """Store the answers of keys that this transaction took."""
    with prepared.cursor() as cursor:
        cursor.execute(
            _KEEP,
            {
                "users": columns.uuids(once.user_id for once, _ in answered),
                "keys": columns.encoded([once.key.encode() for once, _ in answered]),
                "statuses": columns.smalls([kept.status for _, kept in answered]),
                **columns.documents("headers", [json.dumps(dict(kept.headers)).encode() for _, kept in answered]),
                "bodies": columns.blobs(
                    [
                        None if kept.body is None or len(kept.body) > BODY_MOST_BYTES else kept.body
                        for _, kept in answered
                    ]
                ),
                **columns.slices("objects", [kept.object_ids for _, kept in answered], columns.uuids),
            },
        )


def claim(*, user_id: UUID, key: str, fingerprint: bytes, now: datetime) -> Kept | None:
    """Take a key in the request's transaction; return the answer when it was given before. Of several at once one acts.

    Raises KeyInProgress when another one takes longer than 10 s, KeyReused when the key was for another request.
    """
    params: dict[str, Any] = {
        "user_id": user_id,
        "key": key,
        "fingerprint": fingerprint,
        "now": now,
        "old": now - KEPT_FOR,
    }
    with connection.cursor() as cursor, _briefly(cursor):
        cursor.execute(_CLAIM, params)
        if cursor.fetchone() is not None:
            return None
    row = _row(user_id, key, fingerprint)
    if row.status is None:
        raise KeyReused
    return _kept(row, row.status)


@contextmanager
def _briefly(cursor: CursorWrapper) -> Iterator[None]:
    """Wait for locks of the transaction's statements for some time only. Raises KeyInProgress."""
    cursor.execute(f"SET LOCAL lock_timeout = '{_WAITS}'")
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise KeyInProgress from None
        raise
    cursor.execute("SET LOCAL lock_timeout TO DEFAULT")


@contextmanager
def in_pieces(
    *, user_id: UUID, key: str, fingerprint: bytes, object_ids: Sequence[UUID], now: datetime
) -> Iterator[Kept | Begun]:
    """Hold a key while a write of many transactions goes on; yield its answer if it was given before.

    The write makes objects of the ids that are yielded, so that whoever repeats it knows what is made already: those of
    ``object_ids``, or of the process that died in it. Nobody else has the key meanwhile. Raises as ``claim`` does.
    """
    try:
        is_new = _taken_in_pieces(user_id, key, fingerprint, object_ids, now)
        row = None if is_new else _row(user_id, key, fingerprint)
        if row is not None and row.status is not None:
            yield _kept(row, row.status)
        else:
            yield Begun(tuple(row.object_ids) if row else tuple(object_ids), is_again=row is not None)
    finally:
        # Whether it was had or not; a session that is gone has none.
        with suppress(OperationalError, InterfaceError), prepared.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")


def _taken_in_pieces(user_id: UUID, key: str, fingerprint: bytes, object_ids: Sequence[UUID], now: datetime) -> bool:
    """Lock a key for the session and take it; return whether it is new. One query, committed."""
    params: dict[str, Any] = {
        "word": f"{user_id} {key}",
        "seed": _LOCK_SEED,
        "user_id": user_id,
        "key": key,
        "fingerprint": fingerprint,
        "object_ids": columns.uuids(object_ids),
        "now": now,
        "old": now - KEPT_FOR,
    }
    try:
        with prepared.cursor() as cursor:
            cursor.execute(_CLAIM_IN_PIECES, params)
            return cursor.fetchone() is not None
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise KeyInProgress from None
        raise


def _row(user_id: UUID, key: str, fingerprint: bytes) -> IdempotencyKey:
    row = IdempotencyKey.objects.get(user=user_id, key=key)
    if bytes(row.fingerprint) != fingerprint:
        raise KeyReused
    return row


def _kept(row: IdempotencyKey, status: int) -> Kept:
    return Kept(status, row.headers, None if row.body is None else bytes(row.body), row.object_ids)


def keep(*, user_id: UUID, key: str, answer: Kept) -> None:
    """Store the answer of a key that this transaction took. A body of more than 64 kB is left out."""
    body = answer.body if answer.body is not None and len(answer.body) <= BODY_MOST_BYTES else None
    headers = json.dumps(dict(answer.headers))
    with prepared.cursor() as cursor:
        cursor.execute(
            "UPDATE idempotency_key SET status = %s, headers = %s::jsonb, body = %s, object_ids = %s::uuid[]"
            " WHERE user_id = %s::uuid AND key = %s",
            [answer.status, headers, body, columns.uuids(answer.object_ids), user_id, key],
        )


def sweep(*, now: datetime) -> int:
    """Delete keys whose day is over, some thousands at once; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM idempotency_key WHERE id IN"
            " (SELECT id FROM idempotency_key WHERE created_at <= %s ORDER BY created_at LIMIT %s)",
            [now - KEPT_FOR, _SWEPT_AT_ONCE],
        )
        return int(cursor.rowcount)

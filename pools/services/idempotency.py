"""The answers that Idempotency-Keys stand for: each committed with the write it tells of, and kept for a day."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.utils import OperationalError
from psycopg.errors import LockNotAvailable

from pools.domain.errors import KeyInProgress, KeyReused
from pools.models import IdempotencyKey
from pools.selectors import prepared
from pools.services import arrays

KEPT_FOR: Final = timedelta(hours=24)
BODY_MOST_BYTES: Final = 64 * 1024
_WAITS: Final = "10s"
_SWEPT_AT_ONCE: Final = 10_000

# Waits while another transaction holds the same key. A key whose day is over but which nobody swept yet is a new one.
_CLAIM: Final = """
INSERT INTO idempotency_key AS kept (user_id, key, fingerprint, headers, object_ids, created_at)
VALUES (%(user_id)s, %(key)s, %(fingerprint)s, '{}', '{}', %(now)s)
ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = NULL, headers = '{}',
    body = NULL, object_ids = '{}', created_at = excluded.created_at
WHERE kept.created_at <= %(old)s
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given. ``body`` is None when it was too long; ``object_ids`` tell what was made or changed."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    object_ids: Collection[UUID]


_TAKE: Final = """
INSERT INTO idempotency_key AS kept (user_id, key, fingerprint, headers, object_ids, created_at)
SELECT user_id, key, decode(fingerprint, 'hex'), '{}', '{}', %(now)s
FROM unnest(%(users)s::uuid[], %(keys)s::text[], %(fingerprints)s::text[]) new (user_id, key, fingerprint)
ORDER BY user_id, key
ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = NULL, headers = '{}',
    body = NULL, object_ids = '{}', created_at = excluded.created_at
WHERE kept.created_at <= %(old)s
RETURNING user_id, key
"""
_KEEP: Final = """
UPDATE idempotency_key k SET status = a.status, headers = a.headers::jsonb, body = decode(a.body, 'hex'),
    object_ids = a.object_ids::uuid[]
FROM unnest(%(users)s::uuid[], %(keys)s::text[], %(statuses)s::smallint[], %(headers)s::text[], %(bodies)s::text[],
            %(objects)s::text[]) a (user_id, key, status, headers, body, object_ids)
WHERE k.user_id = a.user_id AND k.key = a.key
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
            [arrays.plain(once.user_id for once in onces), arrays.texts([once.key for once in onces]), now - KEPT_FOR],
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
                "users": arrays.plain(once.user_id for once in onces),
                "keys": arrays.texts([once.key for once in onces]),
                "fingerprints": arrays.plain(once.fingerprint.hex() for once in onces),
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
                "users": arrays.plain(once.user_id for once, _ in answered),
                "keys": arrays.texts([once.key for once, _ in answered]),
                "statuses": arrays.numbers(kept.status for _, kept in answered),
                "headers": arrays.texts([json.dumps(dict(kept.headers)) for _, kept in answered]),
                "bodies": arrays.plain(
                    None if kept.body is None or len(kept.body) > BODY_MOST_BYTES else kept.body.hex()
                    for _, kept in answered
                ),
                "objects": arrays.texts([arrays.plain(kept.object_ids) for _, kept in answered]),
            },
        )


def claim(*, user_id: UUID, key: str, fingerprint: bytes, now: datetime) -> Kept | None:
    """Take a key in the request's transaction; return the answer when it was given before. Of several at once one acts.

    Raises KeyInProgress when another one takes longer than 10 s, KeyReused when the key was for another request.
    """
    params: dict[str, Any] = {"user_id": user_id, "key": key, "fingerprint": fingerprint}
    params |= {"now": now, "old": now - KEPT_FOR}
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{_WAITS}'")
        try:
            cursor.execute(_CLAIM, params)
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise KeyInProgress from None
            raise
        is_new = cursor.fetchone() is not None
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    if is_new:
        return None
    row = IdempotencyKey.objects.get(user=user_id, key=key)
    if bytes(row.fingerprint) != fingerprint or row.status is None:
        raise KeyReused
    return Kept(row.status, row.headers, None if row.body is None else bytes(row.body), row.object_ids)


def keep(*, user_id: UUID, key: str, answer: Kept) -> None:
    """Store the answer of a key that this transaction took. A body of more than 64 kB is left out."""
    body = answer.body if answer.body is not None and len(answer.body) <= BODY_MOST_BYTES else None
    IdempotencyKey.objects.filter(user=user_id, key=key).update(
        status=answer.status, headers=dict(answer.headers), body=body, object_ids=list(answer.object_ids)
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

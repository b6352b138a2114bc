"""What tenants need to use what they have: asked for by workers, kept encrypted, gone when it is given back.

The rows are made and deleted with the outcomes of targets (``target_done.sql``). A delivery is taken in a short
transaction, the platform is asked outside any, and the answer is written only while the delivery is as it was taken.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from connectors.contract import ConnectorError, Delivery, Permanent, Target
from pools.domain import deliveries as rules
from pools.domain import states
from pools.domain import targets as outcomes
from pools.domain.actors import SYSTEM
from pools.selectors import prepared
from pools.services import credentials, sql, writing

ASKED_SECONDS: Final = 180
_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Wanted:
    """One allocation's part of one target, to be asked for until ``until`` at most."""

    id: UUID
    allocation_id: UUID
    target_id: UUID
    target: Target
    failures: int
    until: datetime


@writing.transaction
def take(*, pool_id: UUID, now: datetime) -> Wanted | None:
    """Take what is due for longest in the pool. None: nothing is due, or others are at it."""
    until = now + timedelta(seconds=ASKED_SECONDS)
    with prepared.cursor() as cursor:
        params = {"pool": pool_id, "now": now, "until": until, "states": list(states.POOL_STATES_SYNCED)}
        sql.run(cursor, "delivery_take", params)
        row = cursor.fetchone()
    if row is None:
        return None
    id, allocation_id, failures, target_id, kind, ref, generation, mode, is_tenants, node_ref, project = row
    target = Target(
        kind=kind,
        ref=ref,
        generation=generation,
        node_ref=node_ref,
        mode=mode,
        is_tenants=is_tenants,
        project=project or "",
    )
    return Wanted(id, allocation_id, target_id, target, failures, until)


@writing.transaction
def fill(wanted: Wanted, answer: Delivery, *, now: datetime) -> bool:
    """Keep what the platform handed over; return whether it is still wanted as it was taken.

    Raises Permanent ``invalid_answer``, CredentialKeysMissing.
    """
    expires_at = _instant(answer.expires_at)
    ciphertext, key_id = credentials.encrypt(answer.secrets) if answer.secrets else (b"", "")
    names = _text(sorted(answer.secrets))
    told = {"kind": answer.kind, "expires_at": answer.expires_at}
    params = {
        "id": wanted.id,
        "taken": wanted.until,
        "kind": answer.kind,
        "facts": _text(answer.facts),
        "ciphertext": ciphertext,
        "key": key_id,
        "names": names,
        "expires": expires_at,
        "due": rules.renewed_at(now=now, expires_at=expires_at),
        "now": now,
        "actor": SYSTEM.name,
        "told": _text(told),
    }
    with prepared.cursor() as cursor:
        sql.run(cursor, "delivery_fill", params)
        return bool(cursor.rowcount)


@writing.transaction
def fail(wanted: Wanted, error: ConnectorError, *, now: datetime) -> None:
    """Say why there is nothing yet, or nothing new, and when it is asked for again. What was handed over stays."""
    due = outcomes.next_try(now, wanted.failures + 1, wanted.id, getattr(error, "after_seconds", None))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery SET failures = failures + 1, trouble = %s, due_at = %s WHERE id = %s AND due_at = %s",
            [_text(outcomes.trouble(error)), due, wanted.id, wanted.until],
        )


def postpone(pool_id: UUID, failures: int, *, now: datetime) -> None:
    """Leave a pool in peace that cannot be reached: nothing of it is asked for before the next try."""
    due = outcomes.next_try(now, failures, pool_id)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE delivery SET due_at = %s WHERE pool_id = %s AND due_at <= %s", [due, pool_id, now])


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Permanent(
            "The platform handed over something that ends at a time which cannot be understood.", code="invalid_answer"
        )
    return found


def _text(value: Any) -> str:
    return _json.encode(value).decode()

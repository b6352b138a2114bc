"""Reading what was handed over to a tenant, secrets included: one act, and always on record."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection

from pools.domain import states
from pools.domain.actors import Actor
from pools.domain.errors import AllocationMissing, AllocationState, FieldError, Invalid, NotDelivered
from pools.models import Delivery
from pools.services import audit, credentials, writing

AT_ONCE: Final = 100


class Revealed(msgspec.Struct, frozen=True, kw_only=True):
    """What one platform object handed over. ``secrets`` by name: keep them as you keep a password."""

    target: str
    kind: str
    facts: dict[str, str]
    secrets: dict[str, str]
    expires_at: datetime | None


@writing.transaction
def reveal(*, allocation_id: UUID, target: str | None = None, actor: Actor, now: datetime) -> list[Revealed]:
    """Return what an allocation's targets handed over, of one by its name or of all, and record who read it.

    Raises AllocationState when it is not in use, NotDelivered when there is nothing (yet), Invalid when there are too
    many to read at once, CredentialUnreadable, AllocationMissing.
    """
    with connection.cursor() as cursor:
        # Shared: a release waits for who is reading, and whoever reads after it gets nothing.
        cursor.execute("SELECT name, project_id, state FROM allocation WHERE id = %s FOR SHARE", [allocation_id])
        found = cursor.fetchone()
    if found is None:
        raise AllocationMissing
    name, project_id, state = found
    if state not in states.ALLOCATION_USABLE:
        raise AllocationState(state=state)
    wanted = Delivery.objects.filter(allocation_id=allocation_id, made_at__isnull=False).select_related("target")
    if target is not None:
        wanted = wanted.filter(target__ref=target)
    rows = list(wanted.order_by("target_id")[: AT_ONCE + 1])
    if not rows:
        raise NotDelivered
    if len(rows) > AT_ONCE:
        detail = f"It has more than {AT_ONCE}. Name one at a time."
        raise Invalid(fields=(FieldError("target", "required", detail),))
    told = [_revealed(row) for row in rows]
    after: dict[str, Any] = {"targets": [each.target for each in told], "secret_names": sorted(_names(told))}
    audit.record(
        actor, "allocation.delivery_revealed", "allocation", allocation_id, name, None, after, now,
        project_id=project_id,
    )  # fmt: skip
    return told


def _revealed(row: Delivery) -> Revealed:
    return Revealed(
        target=row.target.ref,
        kind=row.kind,
        facts=row.facts,
        secrets=credentials.decrypt(row) if row.key_id else {},
        expires_at=row.expires_at,
    )


def _names(told: list[Revealed]) -> set[str]:
    return {name for each in told for name in each.secrets}

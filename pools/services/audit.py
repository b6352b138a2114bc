"""The audit row that every write leaves, in the transaction of the write."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from connectors import catalog
from pools.domain import secrets
from pools.domain.actors import Actor
from pools.models import AuditEvent


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done, as ``record`` takes it."""

    action: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    project_id: UUID | None = None


def record(
    actor: Actor,
    action: str,
    object_kind: str,
    object_id: UUID | str,
    object_name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    at: datetime,
    *,
    project_id: UUID | None = None,
) -> None:
    """Store who did what to which object. ``action`` is noun.verb; ``before`` and ``after`` hold only what changed.

    ``project_id`` is the project whose people may read of it; None: only the roles of the platform.
    Values under the name of a secret are stored as ``***``.
    """
    record_all(actor, [Entry(action, before, after, project_id)], object_kind, object_id, object_name, at)


def record_all(
    actor: Actor, entries: Iterable[Entry], object_kind: str, object_id: UUID | str, object_name: str, at: datetime
) -> None:
    """Store several things that were done to one object, in one statement."""
    AuditEvent.objects.bulk_create(
        AuditEvent(
            at=at,
            actor=actor.name[:255],
            actor_id=actor.access.user_id,
            token_prefix=actor.access.token_prefix,
            project_id=entry.project_id,
            request_id=actor.request_id[:64],
            reason=actor.reason[:500],
            action=entry.action,
            object_kind=object_kind,
            object_id=str(object_id),
            object_name=object_name[:255],
            before=secrets.censored(entry.before, _secret_names()),
            after=secrets.censored(entry.after, _secret_names()),
        )
        for entry in entries
    )


@cache
def _secret_names() -> frozenset[str]:
    declared = (setting.name for kind in catalog.MANIFESTS.values() for setting in kind.settings if setting.is_secret)
    return secrets.ALWAYS_SECRET | {name.lower() for name in declared}

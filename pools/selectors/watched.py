"""Which pools can be watched now. Read by the processes that watch; each of them decides again under a pool's lock."""

from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import OuterRef, Subquery

from connectors import catalog
from pools.domain import states
from pools.models import Credential, Pool

KINDS: Final = tuple(kind for kind, manifest in catalog.MANIFESTS.items() if "watch" in manifest.capabilities)


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A pool to watch from ``cursor`` on, and what it is reached by."""

    id: UUID
    name: str
    kind: str
    settings: dict[str, Any]
    identity: str | None
    generation: int
    credential_id: UUID | None
    cursor: dict[str, Any]

    @property
    def reached_by(self) -> tuple[int, UUID | None]:
        """What makes a watch of before another one when it changes."""
        return self.generation, self.credential_id


def pools() -> dict[UUID, Watched]:
    """Return the pools that are observed on schedule, whose kind can be watched and of which all was seen once."""
    active = Credential.objects.filter(pool=OuterRef("pk"), state="active").values("id")[:1]
    found = Pool.objects.filter(
        state__in=states.POOL_STATES_SYNCED, kind__in=KINDS, removed_at=None, sync__cursor__isnull=False
    ).annotate(credential_id=Subquery(active))
    columns = ("id", "name", "kind", "settings", "identity", "generation", "credential_id", "sync__cursor")
    rows = (dict(zip(Watched.__struct_fields__, row, strict=True)) for row in found.values_list(*columns))
    return {row["id"]: Watched(**row) for row in rows}

"""Who took the audit along: reading it as a whole is a thing of which the audit tells."""

from collections.abc import Mapping
from datetime import datetime

from pools.domain.actors import Actor
from pools.services import audit, writing


@writing.transaction
def record(*, params: Mapping[str, str], actor: Actor, now: datetime) -> None:
    """Leave the audit row of an export, with the filters that it was made with."""
    audit.record(actor, "audit.exported", "audit", "export", "", None, {"filters": dict(params)}, now)

"""Time to save before an allocation ends: it begins by itself, and its tenant says when it is done.

It lies within the lease, so that the end comes when it was to come whatever anybody says or fails to say.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from pools.domain import request_rules
from pools.domain.actors import SYSTEM, Actor
from pools.domain.errors import AllocationMissing, NoTimeToSave
from pools.services import audit, sql, writing

AT_ONCE: Final = 500
_EVENTS: Final = {"done": "allocation.saved", "failed": "allocation.not_saved"}

_LOCK: Final = """
SELECT name, project_id, before_end_state, state, end_at FROM allocation WHERE id = %s FOR NO KEY UPDATE
"""


@writing.transaction
def begin(*, now: datetime) -> int:
    """Let it begin for those that end soon enough, and tell them; return for how many. Some hundred at once."""
    with connection.cursor() as cursor:
        most = {"most": AT_ONCE, "most_seconds": request_rules.BEFORE_END_SECONDS_MOST}
        sql.run(cursor, "before_end_begin", {"now": now, "actor": SYSTEM.name, **most})
        return int(cursor.rowcount)


@writing.transaction
def say(*, allocation_id: UUID, outcome: str, actor: Actor, now: datetime) -> None:
    """Note what came of it: ``done`` lets the allocation end at once, ``failed`` leaves it the rest of its time.

    Saying the same again changes nothing; done may follow failed. Raises NoTimeToSave outside of that time,
    AllocationMissing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [allocation_id])
        row = cursor.fetchone()
        if row is None:
            raise AllocationMissing
        name, project_id, before, state, end_at = row
        if before == outcome:
            return
        if state != "active" or before not in ("running", "failed"):
            raise NoTimeToSave
        end_at = now if outcome == "done" else end_at
        cursor.execute(
            "UPDATE allocation SET before_end_state = %s, end_at = %s, changed_at = %s, generation = generation + 1"
            " WHERE id = %s",
            [outcome, end_at, now, allocation_id],
        )
    after = {"before_end": outcome}
    audit.record(
        actor, _EVENTS[outcome], "allocation", allocation_id, name, {"before_end": before}, after, now,
        project_id=project_id,
    )  # fmt: skip

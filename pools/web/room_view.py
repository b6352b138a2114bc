"""Who would have to give way to a request, as plain dicts for the templates. Only operators are told."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pools.domain.preemption import Victim
from pools.services.what_ifs import Answer
from pools.web import allocation_view, figures


def presented(answer: Answer, now: datetime) -> dict[str, Any] | None:
    """Return {pool, model, devices, notice, starts_at, victims, heading}; None where nobody can make room."""
    found = answer.preemption
    if found is None:
        return None
    count = len(found.victims)
    heading = ngettext(
        "%(number)s allocation in %(pool)s would have to give way",
        "%(number)s allocations in %(pool)s would have to give way",
        count,
    )
    pool = answer.pools[found.pool_id].name
    return {
        "pool": pool,
        "model": allocation_view.model_name(found.decision.model),
        "notice": figures.duration(found.notice_seconds) if found.notice_seconds else "",
        "starts_at": now + timedelta(seconds=found.notice_seconds),
        "heading": heading % {"number": figures.number(count), "pool": pool},
        "victims": [_victim(each) for each in found.victims],
    }


def consequences(room: dict[str, Any], lease_seconds: int | None) -> Sequence[str]:
    """Return what follows when they are told, in words."""
    when = figures.instant(room["starts_at"])
    lease = figures.duration(lease_seconds) if lease_seconds else _("open-ended")
    return (
        _("They get their notice now, %(duration)s, and end at about %(at)s.")
        % {"duration": room["notice"], "at": when}
        if room["notice"]
        else _("They end at once: nobody promised them a notice."),
        _("What runs on them ends. It cannot be undone, not even when the request is given up meanwhile."),
        _("Their place is booked for the request, and its lease (%(lease)s) begins when they have left.")
        % {"lease": lease},
        _("Their people see it in the timeline of each; that you did it is recorded, for whom is not told to them."),
    )


def _victim(each: Victim) -> dict[str, Any]:
    return {
        "id": each.allocation_id,
        "title": each.name or str(each.allocation_id)[-12:],
        "project": each.project,
        "milli": each.milli,
        "priority": each.priority,
        "is_preemptible": each.is_preemptible,
        "is_borrowed": each.is_borrowed,
        "started_at": each.started_at,
        "min_run": figures.duration(each.min_run_seconds) if each.min_run_seconds else "",
        "notice": figures.duration(each.notice_seconds) if each.notice_seconds else "",
    }

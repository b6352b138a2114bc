"""What was done on platforms for an allocation, and what is to be done next: attempts, exact calls, their words.

Only what workers wrote down is read here. The calls are worked out by the worker that sends them, right before it does,
so there are none of an operation that nobody began yet.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import F

from pools.domain import filters, states
from pools.domain.access import Access
from pools.models import Operation
from pools.selectors import pages, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "pool": filters.words,
    "state": filters.some_of(states.OPERATION_STATES),
    "action": filters.some_of(states.OPERATION_ACTIONS),
}
_NEWEST_FIRST: Final = pages.Order(("id",), tuple[UUID], is_descending=True)
_BY_MEMBER: Final = pages.Order(("member_index",), tuple[pages.Number])
_TARGET: Final = ("kind", "ref", "project_id", "generation", "due_at")
_COLUMNS: Final = (
    "id",
    "member_index",
    "action",
    "state",
    "target_ref",
    "generation",
    "attempts",
    "calls",
    "trouble",
    "created_at",
    "sent_at",
    "ended_at",
)


class TargetName(msgspec.Struct, frozen=True):
    """The platform object that carries the order: its kind there and its external name."""

    kind: str
    ref: str


class PlatformCall(msgspec.Struct, frozen=True):
    """One exact call on the platform, without secrets."""

    verb: str
    object: str
    body: dict[str, Any]


class OrderTrouble(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong last. ``words`` are the platform's own; ``class`` says whether a retry can help.

    It is one of transient, no_capacity, denied, permanent.
    """

    code: str
    message: str
    words: str
    class_: str = msgspec.field(name="class")


class _Work(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation and a step of the plan share.

    ``calls_state``: ``recorded`` (these calls were worked out, and then sent; none: the platform had it all already),
    ``not_yet`` (no worker came to it), ``none`` (it ended without a call), ``withheld`` (the platform's object carries
    orders of other projects too, and the calls are of all of them; only the platform's roles see them).
    """

    member: int
    action: str
    state: str
    pool: str
    target: TargetName | None
    calls: list[PlatformCall] | None
    calls_state: str


class OperationRow(_Work, frozen=True, kw_only=True):
    """One thing to be done on a platform for a member, and what came of it.

    ``state``: planned (nothing was sent), sent, confirmed, failed, unknown (it was sent and nobody knows what came of
    it; the platform is asked before anything is sent again). ``marker`` is the order's name on the platform,
    ``generation`` that of the target with which it was sent. ``attempts`` counts how often; times, calls and trouble
    are of the last.
    """

    id: UUID
    marker: str
    generation: int | None
    attempts: int
    trouble: OrderTrouble | None
    created_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None


class AllocationOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation among those of all allocations, and whose it is."""

    operation: OperationRow
    allocation_id: UUID
    allocation: str
    project: str
    is_pool_removed: bool


class PlanStep(_Work, frozen=True, kw_only=True):
    """What a member's order comes to on its platform: the calls of its latest operation.

    ``worked_out_at`` is when they were, for the ``generation`` of the target. ``is_current`` is false when the target
    has changed since: what is sent next is worked out anew. ``next_at`` is when the platform is asked next, null: not
    at all.
    """

    generation: int | None
    is_current: bool
    worked_out_at: datetime | None
    next_at: datetime | None


def page(*, allocation_id: UUID, cursor: str | None, limit: int, access: Access) -> Page[OperationRow]:
    """Return the operations of an allocation, the newest first. One query. Raises Invalid."""
    query = Operation.objects.filter(allocation_id=allocation_id)
    sees_all = access.everywhere("node", "read")
    return pages.mapped(
        pages.cut(query.values(*_COLUMNS, **_names()), _NEWEST_FIRST, cursor, limit),
        lambda found: _operation(found, sees_all=sees_all),
    )


def recent(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[AllocationOperation]:
    """Return the operations of all projects, the newest first, for those who may see them all. Raises Invalid.

    One query, one more by names of pools.
    """
    wanted = filters.read(params, FILTERS)
    query = Operation.objects.all()
    if "pool" in wanted:
        query = query.filter(pool__in=references.pool_ids(wanted["pool"], access))
    if "state" in wanted:
        query = query.filter(state__in=wanted["state"])
    if "action" in wanted:
        query = query.filter(action__in=wanted["action"])
    whose = {
        "its_name": F("allocation__name"),
        "its_path": F("allocation__project__path"),
        "pool_removed_at": F("pool__removed_at"),
    }
    sees_all = access.everywhere("node", "read")
    return pages.mapped(
        pages.cut(query.values(*_COLUMNS, "allocation_id", **_names(), **whose), _NEWEST_FIRST, cursor, limit),
        lambda found: AllocationOperation(
            operation=_operation(found, sees_all=sees_all),
            allocation_id=found["allocation_id"],
            allocation=found["its_name"],
            project=found["its_path"],
            is_pool_removed=found["pool_removed_at"] is not None,
        ),
    )


def plan(*, allocation_id: UUID, cursor: str | None, limit: int, access: Access) -> Page[PlanStep]:
    """Return the step of each member, in their order. One query. Raises Invalid."""
    of_members = Operation.objects.filter(allocation_id=allocation_id)
    latest = of_members.order_by("member_index", "-id").distinct("member_index").values("pk")
    query = Operation.objects.filter(pk__in=latest)
    sees_all = access.everywhere("node", "read")
    return pages.mapped(
        pages.cut(query.values(*_COLUMNS, **_names()), _BY_MEMBER, cursor, limit),
        lambda found: _step(found, sees_all=sees_all),
    )


def _names() -> dict[str, F]:
    return {"pool_name": F("pool__name")} | {f"its_{name}": F(f"target__{name}") for name in _TARGET}


def _operation(found: Mapping[str, Any], *, sees_all: bool) -> OperationRow:
    is_shared = _is_shared(found) and not sees_all
    trouble = found["trouble"]
    return OperationRow(
        **_work(found, is_withheld=is_shared),
        id=found["id"],
        marker=found["target_ref"],
        generation=found["generation"],
        attempts=found["attempts"],
        trouble=trouble
        and OrderTrouble(
            code=trouble["code"],
            message=trouble["message"],
            words="" if is_shared else trouble["words"],
            class_=trouble["class"],
        ),
        created_at=found["created_at"],
        sent_at=found["sent_at"],
        ended_at=found["ended_at"],
    )


def _step(found: Mapping[str, Any], *, sees_all: bool) -> PlanStep:
    is_open = found["state"] in states.OPERATION_OPEN
    return PlanStep(
        **_work(found, is_withheld=_is_shared(found) and not sees_all),
        generation=found["generation"],
        is_current=found["calls"] is not None and (not is_open or found["generation"] == found["its_generation"]),
        worked_out_at=found["sent_at"],
        next_at=found["its_due_at"] if is_open else None,
    )


def _work(found: Mapping[str, Any], *, is_withheld: bool) -> dict[str, Any]:
    calls = found["calls"]
    if calls is None:
        calls_state = "not_yet" if found["state"] in states.OPERATION_OPEN else "none"
    else:
        calls_state = "withheld" if is_withheld else "recorded"
    is_told = calls_state == "recorded"
    return {
        "member": found["member_index"],
        "action": found["action"],
        "state": found["state"],
        "pool": found["pool_name"],
        "target": None if found["its_ref"] is None else TargetName(found["its_kind"], found["its_ref"]),
        "calls": [PlatformCall(each["verb"], each["object"], each["body"]) for each in calls] if is_told else None,
        "calls_state": calls_state,
    }


def _is_shared(found: Mapping[str, Any]) -> bool:
    """Whether the target carries what several projects have: such as the document of a host."""
    return found["its_ref"] is not None and found["its_project_id"] is None

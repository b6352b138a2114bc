"""/what-if"""

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.utils import timezone
from msgspec import UNSET, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.decisions import Change, Explanation
from pools.domain.request import Wanted
from pools.services import requests, what_ifs
from pools.services.what_ifs import Answer


class WhatIfCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A pool and model that would do, the one that would be taken first. ``nodes`` would take at least one member.

    ``fragmentation_delta`` is the expected share of everybody's room that goes with it; ``score`` is the policy's,
    less is better.
    """

    pool: str
    model: str | None
    profile: str | None
    nodes: int
    price_per_hour: Decimal | None
    fragmentation_delta: float
    score: float


class WhatIfRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a pool does not do. ``nodes`` say so; people of projects are not told how many."""

    pool: str
    code: str
    nodes: int | UnsetType = UNSET


class SmallestChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change with which it would fit: ``patch`` is a merge patch of the request, empty where others have to act."""

    code: str
    detail: str
    patch: dict[str, Any]


class PreemptionVictim(msgspec.Struct, frozen=True, kw_only=True):
    """Who would have to give way: of a lower priority and preemptible, or with what is borrowed of the same tenant."""

    allocation: UUID
    name: str
    project: str
    priority: int
    is_borrowed: bool
    milli: int
    notice_seconds: int


class Preemption(msgspec.Struct, frozen=True, kw_only=True):
    """The fewest in one pool with whose places it would fit, the first to go first, and the longest notice of them."""

    pool: str
    model: str | None
    notice_seconds: int
    victims: list[PreemptionVictim]


class WhatIfAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the request would be answered now. ``reason`` is a stable code where it does not fit.

    ``preemption`` are those who could make room; operators are told, and POST /allocations/preempt does it.
    """

    fits: bool
    reason: str
    pool: str | None
    model: str | None
    price_per_hour: Decimal | None
    explanation: Explanation | None
    candidates: list[WhatIfCandidate]
    refusals: list[WhatIfRefusal]
    smallest_change: list[SmallestChange]
    preemption: Preemption | None


class WhatIf(base.View):
    """What a request would be answered."""

    rights = {"POST": ("allocation", "create")}

    @schema.operation(
        "what_if.ask",
        "Ask what a request (as POST /allocations takes it) would be answered now; writes nothing",
        body=Wanted,
        answer=WhatIfAnswer,
        refusals=(400, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        asked = requests.read(parsing.mapping(request), actor=auth.actor(request), now=now)
        sees_nodes = auth.access(request).everywhere("node", "read")
        return Response(told(what_ifs.ask(asked, now=now), sees_nodes=sees_nodes))


def told(answer: Answer, *, sees_nodes: bool) -> WhatIfAnswer:
    """Return the answer as far as somebody may know: what others use is told as full and no more."""
    decision = answer.decision
    return WhatIfAnswer(
        fits=decision is not None,
        reason=answer.reason,
        pool=answer.pools[decision.pool_id].name if decision else None,
        model=decision.model if decision else None,
        price_per_hour=decision.price_per_hour if decision else None,
        explanation=decision.explanation if decision else None,
        candidates=[
            WhatIfCandidate(
                pool=answer.pools[each.pool_id].name,
                model=each.model,
                profile=each.profile,
                nodes=each.nodes,
                price_per_hour=each.price_per_hour,
                fragmentation_delta=each.fragmentation_delta,
                score=each.score,
            )
            for each in answer.possible
        ],
        refusals=[
            WhatIfRefusal(
                pool=answer.pools[each.pool_id].name, code=each.code, nodes=each.nodes if sees_nodes else UNSET
            )
            for each in answer.refusals
        ],
        preemption=_preemption(answer),
        smallest_change=[_change(each) for each in answer.changes],
    )


def _preemption(answer: Answer) -> Preemption | None:
    found = answer.preemption
    if found is None:
        return None
    return Preemption(
        pool=answer.pools[found.pool_id].name,
        model=found.decision.model,
        notice_seconds=found.notice_seconds,
        victims=[
            PreemptionVictim(
                allocation=each.allocation_id,
                name=each.name,
                project=each.project,
                priority=each.priority,
                is_borrowed=each.is_borrowed,
                milli=each.milli,
                notice_seconds=each.notice_seconds,
            )
            for each in found.victims
        ],
    )


def _change(change: Change) -> SmallestChange:
    return SmallestChange(code=change.code, detail=change.detail, patch=change.patch)

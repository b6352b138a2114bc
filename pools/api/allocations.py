"""/allocations"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, errors, idempotency, parsing, schema
from pools.domain import ids
from pools.domain.errors import AllocationMissing, Denied, DomainError, FieldError, Invalid, KeyUsed
from pools.domain.request import Wanted
from pools.selectors import allocation_events
from pools.selectors import allocations as seen
from pools.services import allocations, before_ends, binding, claims, preemptions, requests, together
from pools.services.claimed import Written
from pools.services.idempotency import Begun

BULK_MOST: Final = 1000


class BulkResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one item: its status as if it had come alone, and the allocation or the problem."""

    status: int
    allocation: seen.AllocationRow | None = None
    problem: errors.Problem | None = None


class BulkResults(msgspec.Struct, frozen=True):
    """One result for each item, in their order."""

    results: list[BulkResult]


class Allocations(base.View):
    """Requests for capacity and what became of them."""

    rights = {"GET": ("allocation", "read"), "POST": ("allocation", "create")}

    @schema.listing("allocations.list", "List allocations, the newest first", seen.AllocationRow, seen.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, seen.page(params=params, cursor=cursor, limit=limit, access=auth.access(request)))

    @schema.operation(
        "allocations.make",
        "Ask for capacity: held or claimed (201), or waiting in the queue (202)",
        body=Wanted,
        answer=seen.AllocationRow,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        now = timezone.now()
        asked = requests.read(parsing.mapping(request), actor=auth.actor(request), now=now)
        (made,) = claims.submit([asked], now=now)
        if isinstance(made, DomainError):
            raise made
        row = seen.one(made.allocation_id)
        return base.answered(request, row, _status(row.state), f"{request.path}/{row.id}")

    def commits_itself(self, request: Request) -> Response | None:
        """As ``post``, committed with those who ask at the same moment. A key that was used before is told there."""
        now, answer = timezone.now(), _Answers(request)
        body, once = parsing.mapping(request), idempotency.ticket(request, answer)
        made = together.submit(body, actor=auth.actor(request), once=once, now=now)
        if isinstance(made, KeyUsed):
            return None
        if isinstance(made, DomainError):
            raise made
        return answer(made)


class _Answers:
    """Makes the answer of what was made; the same for the key that came with the request and for whoever asks."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._made: Written | None = None
        self._response: Response | None = None

    def __call__(self, made: Written) -> Response:
        if self._response is None or self._made is not made:
            location = f"{self._request.path}/{made.id}"
            self._made = made
            self._response = base.answered_as(self._request, made.body, made.generation, _status(made.state), location)
        return self._response


class Bulk(base.View):
    """Many requests at once."""

    rights = {"POST": ("allocation", "create")}

    class Items(msgspec.Struct):
        """Up to 1,000 requests, each as POST /allocations takes it."""

        items: list[dict[str, Any]]

    @schema.operation(
        "allocations.bulk",
        "Ask for many allocations; the failure of one is no other's",
        body=Items,
        answer=BulkResults,
        refusals=(400, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        items = self._items(request)
        return _answered_each(request, items, [ids.new_id() for _ in items], together.submit_here)[0]

    def commits_itself(self, request: Request) -> Response | None:
        """As ``post``, committed in pieces: a thousand must not wait for others with what some of them have."""
        items = self._items(request)

        def handle(begun: Begun) -> tuple[Response, list[UUID]]:
            submit = partial(together.submit_many, is_again=begun.is_again)
            return _answered_each(request, items, begun.object_ids, submit)

        return idempotency.in_pieces(request, len(items), handle)

    def _items(self, request: Request) -> list[dict[str, Any]]:
        items = parsing.body(self.Items, request).items
        if not 1 <= len(items) <= BULK_MOST:
            detail = f"Send 1 to {BULK_MOST} items."
            raise Invalid(fields=(FieldError("items", "bad_value", detail),))
        return items


class Preempt(base.View):
    """Others make room."""

    rights = {"POST": ("allocation", "operate")}

    class Instead(msgspec.Struct):
        """A request as POST /allocations takes it, and those whom what-if names as its ``preemption``."""

        request: dict[str, Any]
        victims: list[UUID]

    @schema.operation(
        "allocations.preempt",
        "Give others their notice and schedule a request in their place; for operators",
        body=Instead,
        answer=seen.AllocationRow,
        status=201,
        refusals=(400, 409, 413, 415, 422),
    )
    def post(self, request: Request) -> Response:
        if not auth.access(request).everywhere("allocation", "operate"):
            raise Denied
        now, body = timezone.now(), parsing.body(self.Instead, request)
        asked = requests.read(body.request, actor=auth.actor(request), now=now)
        preemptions.preempt(asked=asked, victim_ids=body.victims, now=now)
        row = seen.one(asked.id)
        return base.answered(request, row, 201, reverse("api-allocation", args=[row.id]))


class MakeRoom(base.View):
    """Others make room for one that waits."""

    rights = {"POST": ("allocation", "operate")}
    missing = AllocationMissing

    class Victims(msgspec.Struct):
        """Those whom what-if names as its ``preemption`` for the same request."""

        victims: list[UUID]

    @schema.operation(
        "allocations.make_room",
        "Give others their notice and book their place for an allocation that waits in the queue; for operators",
        body=Victims,
        answer=seen.AllocationRow,
        status=202,
        refusals=(400, 404, 409, 422),
    )
    def post(self, request: Request, allocation: str) -> Response:
        allocation_id = seen.find(allocation, auth.access(request), verb="operate")
        victims = parsing.body(self.Victims, request).victims
        waiting = preemptions.waits(allocation_id, auth.actor(request))
        preemptions.preempt(asked=waiting, victim_ids=victims, now=timezone.now())
        return _shown(request, allocation_id)


class Allocation(base.View):
    """One allocation."""

    rights = {"GET": ("allocation", "read")}
    missing = AllocationMissing

    @schema.operation("allocations.get", "Show an allocation", answer=seen.AllocationRow, refusals=(404,))
    def get(self, request: Request, allocation: str) -> Response:
        return base.answered(request, seen.one(seen.find(allocation, auth.access(request))))


class Events(base.View):
    """What happened to an allocation."""

    rights = {"GET": ("allocation", "read")}
    missing = AllocationMissing

    @schema.listing(
        "allocations.events",
        "List what happened to an allocation, the latest first",
        allocation_events.AllocationEventRow,
        {},
    )
    def get(self, request: Request, allocation: str) -> Response:
        allocation_id = seen.find(allocation, auth.access(request))
        _, cursor, limit = parsing.listing(request)
        return base.listing(request, allocation_events.page(allocation_id=allocation_id, cursor=cursor, limit=limit))


class Confirm(base.View):
    """A hold becomes a claim."""

    rights = {"POST": ("allocation", "edit")}
    missing = AllocationMissing

    @schema.operation(
        "allocations.confirm",
        "Claim what a hold keeps; its lease begins now",
        answer=seen.AllocationRow,
        status=202,
        refusals=(404, 409, 412),
        parameters=[schema.IF_MATCH],
    )
    def post(self, request: Request, allocation: str) -> Response:
        allocation_id = seen.find(allocation, auth.access(request), verb="edit")
        parsing.body(parsing.Nothing, request)
        allocations.confirm(
            allocation_id=allocation_id,
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _shown(request, allocation_id)


class Release(base.View):
    """Everything is given back."""

    rights = {"POST": ("allocation", "remove")}
    missing = AllocationMissing

    class How(msgspec.Struct):
        """``force`` leaves no time to save to who asked for it.

        ``gone`` is an operator's word that nothing is left on the platform of what cannot be taken off there, because
        somebody else made what is there now.
        """

        force: bool = False
        gone: bool = False

    @schema.operation(
        "allocations.release",
        "Give everything back, from any state; releasing again changes nothing",
        body=How,
        answer=seen.AllocationRow,
        status=202,
        refusals=(400, 404, 409, 412, 422),
        parameters=[schema.IF_MATCH],
    )
    def post(self, request: Request, allocation: str) -> Response:
        allocation_id = seen.find(allocation, auth.access(request), verb="remove")
        how = parsing.body(self.How, request)
        if how.gone:
            seen.find(allocation, auth.access(request), verb="operate")
        allocations.release(
            allocation_id=allocation_id,
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
            is_forced=how.force,
            is_gone=how.gone,
        )
        return _shown(request, allocation_id)


class BeforeEnd(base.View):
    """What came of the time to save."""

    rights = {"POST": ("allocation", "edit")}
    missing = AllocationMissing

    class Said(msgspec.Struct):
        """``done``: what matters is saved, it may end at once. ``failed``: it was not; the end comes all the same."""

        state: Literal["done", "failed"]

    @schema.operation(
        "allocations.before_end",
        "Say what came of the time to save before the end; saying the same again changes nothing",
        body=Said,
        answer=seen.AllocationRow,
        status=202,
        refusals=(400, 404, 409, 422),
    )
    def post(self, request: Request, allocation: str) -> Response:
        allocation_id = seen.find(allocation, auth.access(request), verb="edit")
        said = parsing.body(self.Said, request)
        before_ends.say(allocation_id=allocation_id, outcome=said.state, actor=auth.actor(request), now=timezone.now())
        return _shown(request, allocation_id)


class Retry(base.View):
    """Another try."""

    rights = {"POST": ("allocation", "edit")}
    missing = AllocationMissing

    @schema.operation(
        "allocations.retry",
        "Try again what needs attention; trying what is being tried changes nothing",
        answer=seen.AllocationRow,
        status=202,
        refusals=(404, 409, 412),
        parameters=[schema.IF_MATCH],
    )
    def post(self, request: Request, allocation: str) -> Response:
        allocation_id = seen.find(allocation, auth.access(request), verb="edit")
        parsing.body(parsing.Nothing, request)
        binding.retry(
            allocation_id=allocation_id,
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _shown(request, allocation_id)


class Extend(base.View):
    """A longer lease."""

    rights = {"POST": ("allocation", "edit")}
    missing = AllocationMissing

    class Longer(msgspec.Struct):
        """How long the lease shall last, counted from its beginning."""

        lease_seconds: int

    @schema.operation(
        "allocations.extend",
        "Let a lease last longer; never shorter",
        body=Longer,
        answer=seen.AllocationRow,
        status=202,
        refusals=(404, 409, 412, 422),
        parameters=[schema.IF_MATCH],
    )
    def post(self, request: Request, allocation: str) -> Response:
        allocation_id = seen.find(allocation, auth.access(request), verb="edit")
        allocations.extend(
            allocation_id=allocation_id,
            lease_seconds=parsing.body(self.Longer, request).lease_seconds,
            generation=parsing.generation(request),
            actor=auth.actor(request),
            now=timezone.now(),
        )
        return _shown(request, allocation_id)


def _status(state: str) -> int:
    return 202 if state == "queued" else 201


def _shown(request: Request, allocation_id: UUID) -> Response:
    return base.answered(request, seen.one(allocation_id), 202)


def _answered_each(
    request: Request,
    items: Sequence[Any],
    allocation_ids: Sequence[UUID],
    submit: Callable[..., list[together.Answer]],
) -> tuple[Response, list[UUID]]:
    """Answer each item with the allocation of its id, or why there is none; return the ids of those that are there."""
    found = submit(items, actor=auth.actor(request), now=timezone.now(), allocation_ids=allocation_ids)
    request_id = auth.request_id(request)
    response = Response(BulkResults([_result(each, request_id) for each in found]))
    return response, [each.id for each in found if isinstance(each, Written)]


def _result(found: together.Answer, request_id: str) -> BulkResult:
    if isinstance(found, DomainError):
        problem = errors.of_domain(found, request_id)
        return BulkResult(status=problem.status, problem=problem)
    row: Any = msgspec.Raw(found.body)  # of an AllocationRow
    return BulkResult(status=_status(found.state), allocation=row)

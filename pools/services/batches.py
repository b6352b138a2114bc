"""A batch of requests that choose from the same pools: planned on one read, written at once, until each is answered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import compress
from typing import Any, Final
from uuid import UUID

from django.db.utils import OperationalError
from msgspec import Struct
from msgspec.structs import replace
from psycopg.errors import DeadlockDetected

from pools.domain import choices, quotas, waiting
from pools.domain.decisions import Decision, Refusal
from pools.domain.errors import AllocationChanged, DomainError, KeyUsed, NoCapacity, QuotaExceeded
from pools.domain.planner import Draft
from pools.domain.quotas import Shortfall
from pools.domain.request import Wanted
from pools.domain.waiting import Place
from pools.selectors import candidates, placeable
from pools.selectors.candidates import Read, Scores
from pools.selectors.placeable import Fleet
from pools.services import allocations, claiming, idempotency
from pools.services.asked import Asked, Planned
from pools.services.claimed import Written
from pools.services.claiming import Outcome

REPLANS_MOST: Final = 3
_EXPLAINED_MOST: Final = 16


class Made(Struct, frozen=True):
    """What became of a request: the state of its allocation, and what it waits for when it is queued.

    ``shown`` is the allocation as it was committed, where somebody waits to see it and had it already.
    """

    allocation_id: UUID
    state: str
    reason: str = ""
    shown: Written | None = None


Answer = Made | DomainError


class Batch:
    """Requests in the order in which they came, which may use the same pools of the fleet.

    ``ahead`` are those who wait already, whom none of them overtakes; who has to wait now is added to them.
    """

    def __init__(
        self,
        fleet: Fleet,
        asked: Sequence[Asked],
        scores: Scores,
        ahead: list[Place],
        now: datetime,
        *,
        is_brief: bool = False,
    ) -> None:
        self._fleet, self._first_fleet, self._scores, self._now = fleet, fleet, scores, now
        self._is_brief = is_brief
        self._is_explained = len(asked) <= _EXPLAINED_MOST
        self._open = {each.id: each for each in asked}
        self._narrowed: dict[UUID, Wanted] = {}  # what the quotas leave of it
        self._lost: Counter[UUID] = Counter()
        self._short: dict[UUID, Shortfall] = {}
        self._ahead = ahead
        self._is_queue = bool(ahead) or any(each.wanted.queue or each.is_waiting for each in asked)
        self._answers: dict[UUID, Answer] = {}
        self._round = 0
        self._is_swept = False  # of holds whose time is over, and the pools looked at again
        self._looked_up: set[UUID] = set()  # whether their keys were used before

    def run(self) -> dict[UUID, Answer]:
        """Return the answers by id."""
        while self._open:
            # Who was overtaken often waits in line, and alone, so as to hold up nobody else.
            overtaken = [id for id in self._open if self._lost[id] >= REPLANS_MOST] if self._lost else []
            asked = [self._open[overtaken[0]]] if overtaken else self._alike(self._in_turn())
            if not asked:
                continue
            read = self._read(asked)
            planned, refused = self._plan(asked, read)
            if planned and refused and not self._round and not read.view.is_exhausted:
                read, planned, refused = self._plan_further(read, planned, refused)
            is_settled = self._settle(planned, read, waits=bool(overtaken)) if planned else True
            # What was planned and not had is free for those behind.
            if is_settled:
                self._refuse(refused, read)
        return self._answers

    def _in_turn(self) -> list[Asked]:
        """Return the open requests, after those were answered who would overtake somebody who waits."""
        for each in list(self._open.values()) if self._ahead else ():
            if self._is_behind(each, self._ahead):
                self._answer(each.id, NoCapacity(reason=waiting.BEHIND))
        return list(self._open.values())

    def _alike(self, asked: list[Asked]) -> list[Asked]:
        """Return those who may use the same pools as the first: after another look they may differ.

        Where somebody waits nobody comes before those who asked earlier.
        """
        if self._fleet is self._first_fleet:
            return asked
        pools = self._fleet.usable(asked[0].lineage) if asked else ()
        is_alike = [self._fleet.usable(each.lineage) is pools for each in asked]
        if self._is_queue and not all(is_alike):
            return asked[: is_alike.index(False)]
        return list(compress(asked, is_alike))

    def _wanted(self, each: Asked) -> Wanted:
        return self._narrowed.get(each.id, each.wanted) if self._narrowed else each.wanted

    def _is_behind(self, each: Asked, ahead: Sequence[Place]) -> bool:
        reach = self._place(each, "").reach
        return any(place.holds_back(each.wanted.priority, each.lineage, reach) for place in ahead)

    def _place(self, each: Asked, reason: str) -> Place:
        return Place(
            id=each.id,
            priority=each.wanted.priority,
            lineage=each.lineage,
            reason=reason,
            reach=waiting.reach(each.wanted, self._fleet.usable(each.lineage), self._known, self._scores.chips),
        )

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self._scores.chips) | set(self._fleet.models)

    def _read(self, asked: Sequence[Asked]) -> Read:
        return candidates.read(
            self._fleet,
            self._fleet.usable(asked[0].lineage),
            [self._wanted(each) for each in asked],
            self._scores,
            chance=asked[0].id.int,
            round=self._round,
            now=self._now,
            is_explained=self._is_explained,
        )

    def _plan(self, asked: Sequence[Asked], read: Read) -> tuple[list[Planned], dict[UUID, Refusal]]:
        is_last = read.view.is_exhausted or self._round == candidates.ROUNDS - 1
        draft = Draft(read.view, is_explained=self._is_explained, tells_why=is_last)
        planned: list[Planned] = []
        refused: dict[UUID, Refusal] = {}
        for each in asked:
            # Until it is clear that nothing fits it, nobody who wants the same goes before it.
            if self._is_queue and self._is_behind(each, [self._place(self._open[id], "") for id in refused]):
                continue
            decision = draft.decide(self._wanted(each))
            if isinstance(decision, Refusal):
                refused[each.id] = decision
            else:
                planned.append(Planned(each, decision, self._ask(each, decision, read)))
        return planned, refused

    def _plan_further(
        self, read: Read, planned: list[Planned], refused: dict[UUID, Refusal]
    ) -> tuple[Read, list[Planned], dict[UUID, Refusal]]:
        """Look for the few whom nothing fitted in rows that nobody was given: one more read costs less than a write."""
        self._round += 1
        asked = [self._open[id] for id in refused]
        further = self._read(asked).without({row for each in planned for row in each.decision.capacity_ids()})
        found, refused = self._plan(asked, further)
        of = {each.asked.id: each for each in (*planned, *found)}
        return read.joined(further), [of[id] for id in self._open if id in of], refused

    def _ask(self, each: Asked, decision: Decision, read: Read) -> quotas.Ask:
        model, milli = decision.model, decision.milli
        entry = self._scores.chips.get(model or "")
        units_milli = quotas.compute_units(milli, entry.compute_unit_milli if entry else quotas.UNIT_MILLI)
        model_id = read.models[model] if model else None
        return quotas.Ask(each.lineage, model_id, decision.profile, decision.pool_id, milli, units_milli)

    def _settle(self, planned: Sequence[Planned], read: Read, *, waits: bool) -> bool:
        """Try to have what was planned; return whether all of it was had."""
        again = (lambda now_read: self._plan([each.asked for each in planned], now_read)[0]) if waits else None
        try:
            outcome = claiming.attempt(planned, read, now=self._now, again=again, is_brief=self._is_brief)
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
            outcome = Outcome(lost={each.asked.id for each in planned})
        for id in outcome.gone:
            self._answer(id, AllocationChanged())
        for id in outcome.repeated:
            self._answer(id, KeyUsed())
        for id, state in outcome.states.items():
            self._answer(id, Made(id, state, shown=outcome.shown.get(id)))
        for id in outcome.lost:
            self._lost[id] += 1
            if self._lost[id] > REPLANS_MOST:
                self._answer(id, NoCapacity(reason="no_capacity"))
        decisions = {each.asked.id: each.decision for each in planned} if outcome.short else {}
        for id, shortfall in outcome.short.items():
            self._narrow(id, decisions[id], shortfall, read)
        if outcome.lost:
            self._look_again()
        return not outcome.lost and not outcome.short

    def _narrow(self, id: UUID, decision: Decision, shortfall: Shortfall, read: Read) -> None:
        """Ask for what comes after the model that the quotas have no room for."""
        known, rank, wanted = sorted(read.models), decision.explanation.rank, self._wanted(self._open[id])
        any_of = choices.after(wanted, rank, decision.model or "", known, self._scores.chips) if decision.milli else ()
        if not any_of:
            self._answer(id, QuotaExceeded(**told(shortfall)))
            return
        self._short[id] = shortfall
        self._narrowed[id] = replace(wanted, any_of=any_of)

    def _refuse(self, refused: Mapping[UUID, Refusal], read: Read) -> None:
        """Answer those whom nothing fits; while there are rows that nobody looked at, look at more of them."""
        if new := refused.keys() - self._looked_up:
            # Who was answered before needs no other look.
            self._looked_up |= new
            for id, answer in repeated([self._open[id] for id in new], self._now).items():
                self._answer(id, answer)
            refused = {id: refusal for id, refusal in refused.items() if id in self._open}
        # A second look may do; before many rows are read, what lies about is swept up.
        if refused and not self._is_swept and (self._round or read.view.is_exhausted):
            self._is_swept = True
            if self._is_anything_swept() or placeable.is_kept(self._fleet):
                self._look_again()
                return
        if refused and not read.view.is_exhausted and self._round < candidates.ROUNDS - 1:
            self._round += 1
            return
        for id, refusal in refused.items():
            if (shortfall := self._short.get(id)) is not None:
                self._answer(id, QuotaExceeded(**told(shortfall)))
            else:
                self._answer(id, NoCapacity(reason=self._code(id, refusal)))

    def _is_anything_swept(self) -> bool:
        try:
            return allocations.expire_holds(now=self._now) > 0
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
            return True  # by the other one, as likely as not

    def _code(self, id: UUID, refusal: Refusal) -> str:
        """Return why nothing fits. Where all of a model is given out there are no rows, which is not to have none."""
        each = self._open[id]
        reach = self._place(each, "").reach
        is_there = any(pair.model in reach.models and pair.pool_id in reach.pools for pair in self._fleet.room)
        if not each.wanted.devices_per_member:
            is_there = bool(reach.pools)
        return "no_capacity" if is_there and refusal.code in ("no_model", "selector", "not_granted") else refusal.code

    def _look_again(self) -> None:
        """See the pools as they are now."""
        self._fleet = placeable.fleet(self._now)

    def _answer(self, id: UUID, answer: Answer) -> None:
        self._answers[id] = answer
        each = self._open.pop(id)
        if (each.wanted.queue or each.is_waiting) and (reason := reason_to_wait(answer)):
            self._ahead.append(self._place(each, reason))


def repeated(asked: Sequence[Asked], now: datetime) -> dict[UUID, Answer]:
    """Return those whose key was used before. One query, none where nobody has a key."""
    with_key = [(each.id, each.once) for each in asked if each.once is not None]
    used = idempotency.used([once for _, once in with_key], now=now) if with_key else set()
    return {id: KeyUsed() for id, once in with_key if (once.user_id, once.key) in used}


def reason_to_wait(answer: Answer) -> str:
    """Return what a refused request may wait for, empty when there is nothing."""
    if isinstance(answer, QuotaExceeded):
        return waiting.OVER_QUOTA
    if isinstance(answer, NoCapacity) and answer.params["reason"] not in waiting.HOPELESS:
        return str(answer.params["reason"])
    return ""


def told(shortfall: Shortfall) -> dict[str, Any]:
    """What the asking project may know: how much was asked for and is left, and not whose row it is."""
    return {"reason": shortfall.kind, "wanted": shortfall.wanted_milli, "available": shortfall.available_milli}

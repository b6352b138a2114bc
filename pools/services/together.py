"""Requests of one process that come at the same moment are read, claimed and committed together.

Whoever finds nobody at work claims for all who wait by then; who comes meanwhile is in the next batch. Alone, a request
is a batch of one at once. Between two batches there is a moment for company: those who were answered just now tend to
ask again, and without it two groups of them take turns, one of many and one of few, of which each costs the statements
of a whole batch. So whoever asks within a second after many others may wait for company that does not come, a tenth of
a second at most. What makes a batch fail is found by running each of it alone, out of line; so is who waits for a quota
that somebody has locked, for the others have nothing to do with it.

Those who ask for one and those who ask for many stand in lines of their own: nobody waits for one as long as for a
thousand. Bulks have a shorter moment for company, and a full one shares with nobody.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import structlog
from msgspec.structs import replace
from psycopg.errors import LockNotAvailable

from pools.domain import ids
from pools.domain.actors import Actor
from pools.domain.errors import DomainError
from pools.services import claimed, claims, requests
from pools.services.asked import Asked
from pools.services.batches import Made
from pools.services.claimed import Written
from pools.services.idempotency import Once

log = structlog.get_logger(__name__)

Answer = Written | DomainError

MOST: Final = 100
MOST_IN_BULK: Final = 1000
_BACK_SECONDS: Final = 1.0  # who asks again does so by then
_COMPANY_SECONDS_MOST: Final = 0.1
_COMPANY_SECONDS_MOST_IN_BULK: Final = 0.05  # ten of a hundred are read in less


class _Ticket:
    """Requests of one caller that wait for their answers, or for their turn to work for all."""

    def __init__(
        self, bodies: Sequence[Any], actor: Actor, now: datetime, ids: Sequence[UUID], once: Once | None = None
    ) -> None:
        self.bodies, self.actor, self.once, self.now = bodies, actor, once, now
        self.ids = ids  # of the allocations, whoever makes them
        self.turn = threading.Event()
        self.next: _Ticket | None = None  # whom to tell that it is answered
        self.answers: list[Answer] | None = None
        self.is_alone = False

    @property
    def key(self) -> tuple[object, str] | None:
        return (self.once.user_id, self.once.key) if self.once else None


class _Line:
    """Those who wait, and whether somebody works for them.

    A batch has up to ``most`` requests, or those of one caller. ``_expected`` is how many callers there are when all
    who were answered last have come back, ``_patience_seconds`` how long a batch waits for them, and ``_company_until``
    when they are not waited for any more.
    """

    def __init__(self, most: int, company_seconds: float) -> None:
        self._most, self._company_seconds = most, company_seconds
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._is_busy = False
        self._is_complete = threading.Event()
        self._expected = 0
        self._patience_seconds = 0.0
        self._company_until = 0.0  # of the monotonic clock

    def join(self, ticket: _Ticket) -> bool:
        """Stand in line; True when it is one's own turn to work."""
        with self._lock:
            self._waiting.append(ticket)
            if self._is_enough():
                self._is_complete.set()
            if self._is_busy:
                return False
            self._is_busy = True
            return True

    def take(self) -> list[_Ticket]:
        """Take a batch out of the line: no key twice, for its second request is the first one's repetition."""
        with self._lock:
            batch: list[_Ticket] = []
            keys: set[object] = set()
            left: list[_Ticket] = []
            count = 0
            for ticket in self._waiting:
                is_full = batch and count + len(ticket.bodies) > self._most
                if is_full or (ticket.key is not None and ticket.key in keys):
                    left.append(ticket)
                else:
                    batch.append(ticket)
                    keys.add(ticket.key)
                    count += len(ticket.bodies)
            self._waiting = left
            return batch

    def gather(self) -> None:
        """Wait until those are here again who were answered last, or as many as a batch has."""
        if time.monotonic() < self._company_until:
            self._is_complete.wait(self._patience_seconds)

    def leave(self, answered: int, took_seconds: float) -> None:
        """Let the next one work, if there is one, after so many were answered; company has as long as they had."""
        with self._lock:
            self._expected = answered + len(self._waiting)
            self._patience_seconds = min(took_seconds, self._company_seconds)
            self._company_until = time.monotonic() + _BACK_SECONDS
            if not self._is_enough():
                self._is_complete.clear()
            if self._waiting:
                self._waiting[0].turn.set()
            else:
                self._is_busy = False

    def _is_enough(self) -> bool:
        """Whether all are here, or no other like the first has room beside them."""
        if len(self._waiting) >= self._expected:
            return True
        count = sum([len(each.bodies) for each in self._waiting])
        return bool(self._waiting) and count + len(self._waiting[0].bodies) > self._most


_line = _Line(MOST, _COMPANY_SECONDS_MOST)
_bulks = _Line(MOST_IN_BULK, _COMPANY_SECONDS_MOST_IN_BULK)


def submit(body: Any, *, actor: Actor, once: Once | None, now: datetime) -> Answer:
    """Return the allocation that was made of a body, as it was just after the commit, or why there is none.

    ``once`` is the key with which it came. Not inside of a transaction: the commit of all who came together is what it
    waits for.
    """
    (answer,) = _answers(_line, _Ticket([body], actor, now, [ids.new_id()], once))
    return answer


def submit_many(
    bodies: Sequence[Any], *, actor: Actor, now: datetime, allocation_ids: Sequence[UUID], is_again: bool = False
) -> list[Answer]:
    """As ``submit``, for a caller who has many; each becomes the allocation of its id.

    ``is_again`` tells that somebody was at it before, and may have made some.
    """
    ticket = _Ticket(bodies, actor, now, allocation_ids)
    return _alone(ticket) if is_again else _answers(_bulks, ticket)


def submit_here(bodies: Sequence[Any], *, actor: Actor, now: datetime, allocation_ids: Sequence[UUID]) -> list[Answer]:
    """As ``submit_many``, in the caller's transaction and with nobody else."""
    ticket = _Ticket(bodies, actor, now, allocation_ids)
    return _submitted([ticket], claims.submit_many)[0]


def _answers(line: _Line, ticket: _Ticket) -> list[Answer]:
    if not line.join(ticket):
        ticket.turn.wait()
    if ticket.next:
        ticket.next.turn.set()
    if ticket.answers is None and not ticket.is_alone:
        line.gather()
        _work(line, ticket)
    if ticket.is_alone:
        return _alone(ticket)
    assert ticket.answers is not None
    return ticket.answers


def _alone(ticket: _Ticket) -> list[Answer]:
    """Answer one whose batch broke, or whose process died: some of it may have been committed before."""
    there = claimed.looked_up(ticket.ids)
    if len(there) == len(ticket.ids):
        return [there[id] for id in ticket.ids]
    (answers,) = _submitted([ticket], claims.submit if len(ticket.ids) == 1 else claims.submit_many, there)
    return answers


def _work(line: _Line, own: _Ticket) -> None:
    """Claim for all who wait, the own requests among them."""
    batch, began = line.take(), time.monotonic()
    try:
        for ticket, answers in zip(batch, _submitted(batch, partial(claims.submit, is_brief=True)), strict=True):
            ticket.answers = answers
    except Exception as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            if len(batch) == 1:
                raise
            log.warning("batch_failed", requests=len(batch), exc_info=True)
        for ticket in batch:
            ticket.is_alone = True
    finally:
        others = [ticket for ticket in batch if ticket is not own]
        for ticket, following in zip_longest(others, others[1:]):
            ticket.is_alone = ticket.is_alone or ticket.answers is None
            ticket.next = following
        if others:
            others[0].turn.set()
        line.leave(len(batch), time.monotonic() - began)


def _submitted(
    batch: Sequence[_Ticket],
    submit: Callable[..., list[claims.Answer]],
    there: Mapping[UUID, Written] = MappingProxyType({}),
) -> list[list[Answer]]:
    """Return the answers of each; ``there`` are the allocations that were made before."""
    now = max(ticket.now for ticket in batch)
    asking = [(body, ticket.actor) for ticket in batch for body in ticket.bodies]
    onces = [ticket.once for ticket in batch for _ in ticket.bodies]
    all_ids = [id for ticket in batch for id in ticket.ids]
    read = [
        replace(each, once=once) if once and isinstance(each, Asked) else each
        for once, each in zip(onces, requests.read_each(asking, now=now, allocation_ids=all_ids), strict=True)
    ]
    fine = [each for each in read if isinstance(each, Asked) and each.id not in there]
    answers: dict[UUID, Any] = dict(zip(all_ids, read, strict=True))
    if fine:
        answers |= zip([each.id for each in fine], submit(fine, now=now), strict=True)
    made = {id: answer.shown for id, answer in answers.items() if isinstance(answer, Made)}
    answers |= made
    answers |= there
    answers |= claimed.looked_up([id for id, shown in made.items() if shown is None])
    return [[answers[id] for id in ticket.ids] for ticket in batch]

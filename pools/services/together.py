"""Single requests of one process that come at the same moment are read, claimed and committed together.

Whoever finds nobody at work claims for all who wait by then; who comes meanwhile is in the next batch. Alone, a request
is a batch of one at once. Between two batches there is a moment for company: those who were answered just now tend to
ask again, and without it two groups of them take turns, one of many and one of few, of which each costs the statements
of a whole batch. So whoever asks right after many others may wait for company that does not come, a tenth of a second
at most. What makes a batch fail is found by running each of it alone, out of line; so is who waits for a quota
that somebody has locked, for the others have nothing to do with it.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

import structlog
from psycopg.errors import LockNotAvailable

from pools.domain import ids
from pools.domain.actors import Actor
from pools.domain.errors import DomainError
from pools.selectors import allocations as seen
from pools.selectors.allocations import AllocationRow
from pools.services import claims, requests
from pools.services.asked import Asked
from pools.services.batches import Made
from pools.services.idempotency import Once

log = structlog.get_logger(__name__)

Answer = AllocationRow | DomainError

MOST: Final = 100
_COMPANY_SECONDS_MOST: Final = 0.1


class _Ticket:
    """A request that waits for its answer, or for its turn to work for all."""

    def __init__(self, body: Any, actor: Actor, once: Once | None, now: datetime) -> None:
        self.body, self.actor, self.once, self.now = body, actor, once, now
        self.id = ids.new_id()  # of the allocation, whoever makes it
        self.turn = threading.Event()
        self.next: _Ticket | None = None  # whom to tell that it is answered
        self.answer: Answer | None = None
        self.is_alone = False

    @property
    def key(self) -> tuple[object, str] | None:
        return (self.once.user_id, self.once.key) if self.once else None


class _Line:
    """Those who wait, and whether somebody works for them.

    ``_expected`` is how many there are when all who were answered last have come back, ``_company_until`` when they are
    not waited for any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._is_busy = False
        self._is_complete = threading.Event()
        self._expected = 0
        self._company_until = 0.0  # of the monotonic clock

    def join(self, ticket: _Ticket) -> bool:
        """Stand in line; True when it is one's own turn to work."""
        with self._lock:
            self._waiting.append(ticket)
            if len(self._waiting) >= self._expected:
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
            for ticket in self._waiting:
                if len(batch) == MOST or (ticket.key is not None and ticket.key in keys):
                    left.append(ticket)
                else:
                    batch.append(ticket)
                    keys.add(ticket.key)
            self._waiting = left
            return batch

    def gather(self) -> None:
        """Wait until those are here again who were answered last."""
        self._is_complete.wait(max(self._company_until - time.monotonic(), 0.0))

    def leave(self, answered: int, took_seconds: float) -> None:
        """Let the next one work, if there is one, after so many were answered; company has as long as they had."""
        with self._lock:
            self._expected = min(answered + len(self._waiting), MOST)
            self._company_until = time.monotonic() + min(took_seconds, _COMPANY_SECONDS_MOST)
            if len(self._waiting) < self._expected:
                self._is_complete.clear()
            if self._waiting:
                self._waiting[0].turn.set()
            else:
                self._is_busy = False


_line = _Line()


def submit(body: Any, *, actor: Actor, once: Once | None, now: datetime) -> Answer:
    """Return the allocation that was made of a body, as it was just after the commit, or why there is none.

    ``once`` is the key with which it came. Not inside of a transaction: the commit of all who came together is what it
    waits for.
    """
    ticket = _Ticket(body, actor, once, now)
    if not _line.join(ticket):
        ticket.turn.wait()
    if ticket.next:
        ticket.next.turn.set()
    if ticket.answer is None and not ticket.is_alone:
        _line.gather()
        _work(ticket)
    if ticket.is_alone:
        # The batch that broke may have committed this one before.
        (ticket.answer,) = seen.some([ticket.id]) or _submitted([ticket])
    assert ticket.answer is not None
    return ticket.answer


def _work(own: _Ticket) -> None:
    """Claim for all who wait, the own request among them."""
    batch, began = _line.take(), time.monotonic()
    try:
        for ticket, answer in zip(batch, _submitted(batch, is_brief=True), strict=True):
            ticket.answer = answer
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
            ticket.is_alone = ticket.is_alone or ticket.answer is None
            ticket.next = following
        if others:
            others[0].turn.set()
        _line.leave(len(batch), time.monotonic() - began)


def _submitted(batch: Sequence[_Ticket], *, is_brief: bool = False) -> list[Answer]:
    now = max(ticket.now for ticket in batch)
    asking = [(ticket.body, ticket.actor) for ticket in batch]
    read = requests.read_each(asking, now=now, allocation_ids=[ticket.id for ticket in batch])
    asked = [
        each if isinstance(each, DomainError) else replace(each, once=ticket.once)
        for ticket, each in zip(batch, read, strict=True)
    ]
    fine = [each for each in asked if isinstance(each, Asked)]
    answers = iter(claims.submit(fine, now=now, is_brief=is_brief) if fine else ())
    found = [next(answers) if isinstance(each, Asked) else each for each in asked]
    made = [answer for answer in found if isinstance(answer, Made)]
    rows = {answer.allocation_id: answer.row for answer in made if answer.row is not None}
    if others := [answer.allocation_id for answer in made if answer.row is None]:
        rows |= {row.id: row for row in seen.some(others)}
    return [rows[answer.allocation_id] if isinstance(answer, Made) else answer for answer in found]

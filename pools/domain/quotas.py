"""How much a project and all below it may have at once: arithmetic on rows in memory, which somebody else locks.

Rows of one scope form a tree along the tree of projects. Of a row's nominal the lend limit is what others may use
while it is free; the rest is its guarantee, which the row above keeps open for it. What a project takes beyond its
guarantee comes from what the row above has left when it keeps the open guarantees of all below. Every row on the way
up binds. As in Kueue's cohorts, but the row above has a nominal of its own and what is below may sum to more.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from uuid import UUID

from msgspec import Struct

MILLI_MOST: Final = 10**12
"""A thousand million devices, or as many compute units: sums of such numbers stay far below 63 bits."""

UNIT_MILLI: Final = 1000
"""Milli compute units of a device of a model that no catalogue has."""

Reason = Literal["no_quota", "hard_limit", "nominal", "guarantee"]


class Ask(Struct, frozen=True):
    """What an allocation takes. ``lineage`` are the ids of projects from the root down to the asking one.

    ``milli`` are milli-devices of all members together, ``units_milli`` the same in compute units (``compute_units``).
    """

    lineage: tuple[UUID, ...]
    model_id: UUID | None
    profile: str | None
    pool_id: UUID
    milli: int
    units_milli: int


@dataclass(slots=True)
class Row:
    """A quota. ``model_id`` None: of everything, in compute units; ``profile``, ``pools`` None: of all of them.

    Limits of None: borrow without limit, lend all, no hard limit. ``open_guarantee_milli`` is what is kept for the rows
    right below: the sum of their ``kept_milli``.
    """

    id: UUID
    project_id: UUID
    model_id: UUID | None
    profile: str | None
    pools: Sequence[UUID] | None
    parent_id: UUID | None
    depth: int
    nominal_milli: int
    borrow_limit_milli: int | None = None
    lend_limit_milli: int | None = None
    hard_limit_milli: int | None = None
    weight: int = 1
    used_milli: int = 0
    open_guarantee_milli: int = 0

    def counts(self, ask: Ask) -> bool:
        """True when the row's scope has what is asked for; whose row it is matters not."""
        return (
            (self.model_id is None or self.model_id == ask.model_id)
            and (self.profile is None or self.profile == ask.profile)
            and (self.pools is None or ask.pool_id in self.pools)
        )

    def amount(self, ask: Ask) -> int:
        """What the row counts of it."""
        return ask.units_milli if self.model_id is None else ask.milli

    @property
    def most_milli(self) -> int | None:
        """Nominal and what may be borrowed; None is without limit. Where no row is above nothing can be borrowed."""
        if self.parent_id is None:
            return self.nominal_milli
        return None if self.borrow_limit_milli is None else self.nominal_milli + self.borrow_limit_milli

    @property
    def limit_milli(self) -> int | None:
        """What it may use at most, whatever the rows above say; None is without limit."""
        most, hard = self.most_milli, self.hard_limit_milli
        if most is None or hard is None:
            return hard if most is None else most
        return min(most, hard)

    @property
    def guarantee_milli(self) -> int:
        """What of its nominal nobody else may use."""
        if self.lend_limit_milli is None:
            return 0
        own = self.nominal_milli if self.hard_limit_milli is None else min(self.nominal_milli, self.hard_limit_milli)
        return max(0, own - self.lend_limit_milli)

    @property
    def kept_milli(self) -> int:
        """What the row above keeps for it."""
        return self.kept(self.used_milli, self.open_guarantee_milli)

    def kept(self, used_milli: int, open_guarantee_milli: int) -> int:
        """What the row above keeps for it at such numbers: its guarantee as far as it is not used.

        What the rows below are promised is kept too, up to its own guarantee: else somebody beside them who borrows
        uses up the guarantee of the row as a whole, and theirs would be worth nothing further up.
        """
        guarantee = self.guarantee_milli
        return max(0, guarantee - used_milli, min(open_guarantee_milli, guarantee))

    @property
    def borrowed_milli(self) -> int:
        """What it uses beyond its nominal."""
        return max(0, self.used_milli - self.nominal_milli)


class Taken(NamedTuple):
    """It fits. ``quota_ids`` are the rows that count it; ``is_borrowed``: one now uses more than its nominal."""

    quota_ids: tuple[UUID, ...]
    is_borrowed: bool


@dataclass(frozen=True, slots=True)
class Shortfall:
    """It does not fit: the row that says so (None: there is none), what it was asked for, and what it has left.

    ``no_quota``: the asking project or its root has no row for it. ``hard_limit`` and ``nominal`` (with what may be
    borrowed) are the row's own limits. ``guarantee``: what is left is kept for others below the row.
    The row may be of a project that the asking one must not learn of.
    """

    row: Row | None
    wanted_milli: int
    available_milli: int
    kind: Reason


@dataclass(frozen=True, slots=True)
class Change:
    """What was added to a row's counters; negative: taken away."""

    quota_id: UUID
    used_milli: int
    open_guarantee_milli: int


def compute_units(milli: int, compute_unit_milli: int) -> int:
    """Return milli-devices of a model with this factor in milli compute units, rounded up."""
    return -(-milli * compute_unit_milli // 1000)


def room(chain: Sequence[Row], most_milli: int | None = None) -> int:
    """Return how much more fits into rows of one scope, from a project's own up to the highest; at most so much."""
    if most_milli is None:
        limits = [row.limit_milli - row.used_milli for row in chain if row.limit_milli is not None]
        most_milli = max(0, min(limits))
    # What fits is all up to some number: more of it is never covered better by a guarantee.
    return bisect_left(range(1, most_milli + 1), True, key=lambda milli: not _fits(chain, milli))


class Step(NamedTuple):
    """A row with the counters it would have. ``uncovered_milli`` is what no guarantee right below it covers."""

    row: Row
    used_milli: int
    open_guarantee_milli: int
    uncovered_milli: int

    def refusal(self) -> Reason | None:
        """Return why the row has no room for it, None when it has."""
        row, limit = self.row, self.row.limit_milli
        if limit is None or self.used_milli + self.open_guarantee_milli <= limit:
            return None
        if row.hard_limit_milli is not None and self.used_milli > row.hard_limit_milli:
            return "hard_limit"
        if row.most_milli is not None and self.used_milli > row.most_milli:
            return "nominal"
        if self.uncovered_milli > 0 and self.used_milli + self.open_guarantee_milli > limit:
            return "guarantee"
        return None


def climb(chain: Sequence[Row], milli: int) -> Iterator[Step]:
    """Yield what taking so much makes of the rows of one scope, from a project's own up; negative: giving back."""
    kept_more = 0  # by the row, for the one below it
    for row in chain:
        used = max(0, row.used_milli + milli)
        promised = row.open_guarantee_milli + kept_more
        step = Step(row, used, promised, milli + kept_more)
        # Before somebody applies the step. Whoever lends all is kept nothing.
        kept_more = 0 if row.lend_limit_milli is None else row.kept(used, promised) - row.kept_milli
        yield step


def _fits(chain: Sequence[Row], milli: int) -> bool:
    return not any(step.refusal() for step in climb(chain, milli))

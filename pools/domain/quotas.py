"""How much a project and all below it may have at once: arithmetic on rows in memory, which somebody else locks.

Rows of one scope form a tree along the tree of projects. Of a row's nominal the lend limit is what others may use
while it is free; the rest is its guarantee, which the row above keeps open for it. What a project takes beyond its
guarantee comes from what the row above has left when it keeps the open guarantees of all below. Every row on the way
up binds. As in Kueue's cohorts, but the row above has a nominal of its own and what is below may sum to more.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal, NamedTuple
from uuid import UUID

MILLI_MOST: Final = 10**12
"""A thousand million devices, or as many compute units: sums of such numbers stay far below 63 bits."""

_WITHOUT_LIMIT: Final = 2**62

UNIT_MILLI: Final = 1000
"""Milli compute units of a device of a model that no catalogue has."""

Reason = Literal["no_quota", "hard_limit", "nominal", "guarantee"]


class Ask(NamedTuple):
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


class Book:
    """Rows of some lineages, and what is taken of them and given back. Shared by all requests of one transaction.

    Limits stay what they are as long as it is open.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        # By the numbers of ids, which are hashed and compared many times as fast as ids.
        self._rows = {row.id.int: row for row in rows}
        self._before = [(row, row.used_milli, row.open_guarantee_milli) for row in self._rows.values()]
        self._of_project: dict[int, dict[int | None, list[Row]]] = {}
        for row in self._rows.values():
            model = None if row.model_id is None else row.model_id.int
            self._of_project.setdefault(row.project_id.int, {}).setdefault(model, []).append(row)
        self._is_of_pools = any(row.pools is not None for row in self._rows.values())
        self._is_of_parts = self._is_of_pools or any(row.profile is not None for row in self._rows.values())
        self._paths: dict[tuple[int, int | None, str | None, int | None], _Path] = {}
        self._above: dict[int, _Chain] = {}

    def matching(self, ask: Ask) -> list[Row]:
        """Return the rows that count it, those of the asking project first and its root's last."""
        return [row for rows in self._matching(ask) for row in rows]

    def _matching(self, ask: Ask) -> list[list[Row]]:
        """Return the rows that count it of each project, the asking one first and its root last."""
        found = []
        for project_id in reversed(ask.lineage):
            of_models = self._of_project.get(project_id.int, {})
            rows = of_models.get(None, [])
            if ask.model_id is not None and (of_model := of_models.get(ask.model_id.int)):
                rows = rows + of_model
            found.append([row for row in rows if row.counts(ask)] if self._is_of_parts else rows)
        return found

    def take(self, ask: Ask) -> Taken | Shortfall:
        """Count it in all matching rows, or in none and tell which one has no room.

        Whoever asks for nothing needs no quota.
        """
        if ask.milli == 0 and ask.units_milli == 0:
            return Taken((), False)
        path = self._path(ask)
        if not path.is_there:
            return Shortfall(None, ask.milli, 0, "no_quota")
        is_plain = path.limits is not None and _take_plain(path.limits, ask)
        if not is_plain and (refused := self._take_by_steps(path, ask)):
            return refused
        for row in path.matching:
            if row.used_milli > row.nominal_milli:
                return Taken(path.taken.quota_ids, True)
        return path.taken

    def _take_by_steps(self, path: "_Path", ask: Ask) -> Shortfall | None:
        steps: list[_Step] = []
        for chain, *_ in path.chains:
            wanted = chain[0].amount(ask)
            if wanted == 0:
                continue  # nothing is asked of these rows, so they refuse nothing
            for climbed, step in enumerate(_climb(chain, wanted), start=1):
                if kind := step.refusal():
                    return Shortfall(step.row, wanted, room(chain[:climbed], wanted), kind)
                steps.append(step)
        for row, used_milli, open_guarantee_milli, _ in steps:
            row.used_milli, row.open_guarantee_milli = used_milli, open_guarantee_milli
        return None

    def _path(self, ask: Ask) -> "_Path":
        """Return the rows that count it, found once for all who ask for the same out of one project."""
        key = (
            ask.lineage[-1].int,
            None if ask.model_id is None else ask.model_id.int,
            ask.profile,
            ask.pool_id.int if self._is_of_pools else None,
        )
        known = self._paths.get(key)
        if known is None:
            of_projects = self._matching(ask)
            matching = [row for rows in of_projects for row in rows]
            chains = list(self._chains(matching))
            quota_ids = tuple(sorted([row.id for row in matching], key=_number))
            limits = (
                None if any(chain.keeps for chain in chains) else [each for chain in chains for each in chain.limits]
            )
            is_there = bool(of_projects[0] and of_projects[-1])
            known = self._paths[key] = _Path(is_there, matching, chains, limits, Taken(quota_ids, False))
        return known

    def give_back(self, ask: Ask) -> None:
        """Count it no more. What matches now is what counts it: a row that came later began with all that was used.

        A release always wins, so a counter that is too low stays at zero; `manage.py verify` finds it.
        """
        for chain, *_ in self._path(ask).chains:
            for step in _climb(chain, -chain[0].amount(ask)):
                step.row.used_milli, step.row.open_guarantee_milli = step.used_milli, step.open_guarantee_milli

    def changed(self) -> list[Change]:
        """Return what differs from the beginning, by id."""
        return [
            Change(row.id, row.used_milli - used, row.open_guarantee_milli - kept)
            for row, used, kept in sorted(self._before, key=lambda before: before[0].id.int)
            if row.used_milli != used or row.open_guarantee_milli != kept
        ]

    def _chains(self, matching: Sequence[Row]) -> Iterator["_Chain"]:
        """Yield the rows of each scope, from the one nearest to the asking project up."""
        climbed: set[int] = set()
        for row in matching:
            if id(row) not in climbed:
                chain = self._chain(row)
                climbed.update(map(id, chain.rows))
                yield chain

    def _chain(self, row: Row) -> "_Chain":
        """Return a row and those above it."""
        known = self._above.get(id(row))
        if known is None:
            above = _NOTHING_ABOVE if row.parent_id is None else self._chain(self._rows[row.parent_id.int])
            limit = row.limit_milli
            known = self._above[id(row)] = _Chain(
                [row, *above.rows],
                [(row, row.model_id is None, _WITHOUT_LIMIT if limit is None else limit), *above.limits],
                above.keeps or row.lend_limit_milli is not None,
            )
        return known


_number = attrgetter("int")  # of a UUID: compared faster, and in the same order


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


_Limit = tuple[Row, bool, int]
"""A row, whether it counts compute units, and its limit."""


class _Chain(NamedTuple):
    """The rows of a scope from one up. ``keeps``: some may have to be kept something by the row above."""

    rows: list[Row]
    limits: list[_Limit]
    keeps: bool


_NOTHING_ABOVE: Final = _Chain([], [], keeps=False)


class _Path(NamedTuple):
    """The rows that count what a project asks for, also by scope from it up; whether it and its root have one.

    ``limits`` are None where something is kept for a row below another. ``taken`` is the answer where none borrows.
    """

    is_there: bool
    matching: list[Row]
    chains: list[_Chain]
    limits: list[_Limit] | None
    taken: Taken


def _take_plain(limits: Sequence[_Limit], ask: Ask) -> bool:
    """Count it in rows that keep nothing for others, where all have room: what ``_climb`` would come to."""
    milli, units = ask.milli, ask.units_milli
    if not milli or not units:
        return False
    for row, is_units, limit in limits:
        if row.used_milli + row.open_guarantee_milli + (units if is_units else milli) > limit:
            return False
    for row, is_units, _ in limits:
        row.used_milli += units if is_units else milli
    return True


class _Step(NamedTuple):
    """A row with the counters it would have. ``uncovered_milli`` is what no guarantee right below it covers."""

    row: Row
    used_milli: int
    open_guarantee_milli: int
    uncovered_milli: int

    def refusal(self) -> Reason | None:
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


def _climb(chain: Sequence[Row], milli: int) -> Iterator[_Step]:
    kept_more = 0  # by the row, for the one below it
    for row in chain:
        used = max(0, row.used_milli + milli)
        promised = row.open_guarantee_milli + kept_more
        step = _Step(row, used, promised, milli + kept_more)
        # Before somebody applies the step. Whoever lends all is kept nothing.
        kept_more = 0 if row.lend_limit_milli is None else row.kept(used, promised) - row.kept_milli
        yield step


def _fits(chain: Sequence[Row], milli: int) -> bool:
    return not any(step.refusal() for step in _climb(chain, milli))

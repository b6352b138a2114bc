"""What many requests of one transaction take of the quotas of their projects, in memory."""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

from pools.domain.quotas import Ask, Change, Row, Shortfall, Step, Taken, climb, room

_WITHOUT_LIMIT: Final = 2**62
_OfProject = dict[int, dict[int | None, list[Row]]]
"""Rows by the numbers of their projects and models."""


class Book:
    """Rows of some lineages, and what is taken of them and given back. Shared by all requests of one transaction.

    Limits stay what they are as long as it is open.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        # By the numbers of ids, which are hashed and compared many times as fast as ids.
        self._rows = {row.id.int: row for row in rows}
        self._before = [(row, row.used_milli, row.open_guarantee_milli) for row in self._rows.values()]
        self._of_project: _OfProject = {}
        for row in self._rows.values():
            model = None if row.model_id is None else row.model_id.int
            self._of_project.setdefault(row.project_id.int, {}).setdefault(model, []).append(row)
        self._is_of_pools = any(row.pools is not None for row in self._rows.values())
        self._is_of_parts = self._is_of_pools or any(row.profile is not None for row in self._rows.values())
        keeps = any(row.lend_limit_milli is not None for row in self._rows.values())
        self._plain = None if self._is_of_parts or keeps else _Plain(self._of_project)
        self._paths: dict[tuple[int, int | None, str | None, int | None], _Path] = {}
        self._above: dict[int, list[Row]] = {}

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

    def take_all(self, asks: Sequence[Ask]) -> list[Taken | Shortfall]:
        """Return what ``take`` says to each, one after another."""
        if self._plain is None:
            return [self.take(ask) for ask in asks]
        found = self._plain.add_up(asks)
        return [self.take(ask) if taken is None else taken for ask, taken in zip(asks, found, strict=True)]

    def take(self, ask: Ask) -> Taken | Shortfall:
        """Count it in all matching rows, or in none and tell which one has no room.

        Whoever asks for nothing needs no quota.
        """
        if ask.milli == 0 and ask.units_milli == 0:
            return Taken((), False)
        if self._plain is not None and (taken := self._plain.take(ask)):
            return taken
        path = self._path(ask)
        if not path.is_there:
            return Shortfall(None, ask.milli, 0, "no_quota")
        steps: list[Step] = []
        for chain in path.chains:
            wanted = chain[0].amount(ask)
            if wanted == 0:
                continue  # nothing is asked of these rows, so they refuse nothing
            for climbed, step in enumerate(climb(chain, wanted), start=1):
                if kind := step.refusal():
                    return Shortfall(step.row, wanted, room(chain[:climbed], wanted), kind)
                steps.append(step)
        for row, used_milli, open_guarantee_milli, _ in steps:
            row.used_milli, row.open_guarantee_milli = used_milli, open_guarantee_milli
        return Taken(path.quota_ids, any(row.used_milli > row.nominal_milli for row in path.matching))

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
            is_there = bool(of_projects[0] and of_projects[-1])
            quota_ids = _in_order([row.id for row in matching])
            known = self._paths[key] = _Path(is_there, matching, quota_ids, list(self._chains(matching)))
        return known

    def give_back(self, ask: Ask) -> None:
        """Count it no more. What matches now is what counts it: a row that came later began with all that was used.

        A release always wins, so a counter that is too low stays at zero; `manage.py verify` finds it.
        """
        for chain in self._path(ask).chains:
            for step in climb(chain, -chain[0].amount(ask)):
                step.row.used_milli, step.row.open_guarantee_milli = step.used_milli, step.open_guarantee_milli

    def changed(self) -> list[Change]:
        """Return what differs from the beginning, by id."""
        return [
            Change(row.id, row.used_milli - used, row.open_guarantee_milli - kept)
            for row, used, kept in sorted(self._before, key=lambda before: before[0].id.int)
            if row.used_milli != used or row.open_guarantee_milli != kept
        ]

    def _chains(self, matching: Sequence[Row]) -> Iterator[list[Row]]:
        """Yield the rows of each scope, from the one nearest to the asking project up."""
        climbed: set[int] = set()
        for row in matching:
            if id(row) not in climbed:
                chain = self._chain(row)
                climbed.update(map(id, chain))
                yield chain

    def _chain(self, row: Row) -> list[Row]:
        """Return a row and those above it."""
        known = self._above.get(id(row))
        if known is None:
            above = [] if row.parent_id is None else self._chain(self._rows[row.parent_id.int])
            known = self._above[id(row)] = [row, *above]
        return known


class _Path(NamedTuple):
    """The rows that count what a project asks for, also by scope from it up; whether it and its root have one."""

    is_there: bool
    matching: list[Row]
    quota_ids: tuple[UUID, ...]
    chains: list[list[Row]]


class _Line(NamedTuple):
    """A row, what it may use while nobody borrows, and at most."""

    row: Row
    own_milli: int
    most_milli: int


class _Sum:
    """What many ask of some rows."""

    __slots__ = ("asked", "lines", "quota_ids", "root")

    def __init__(self, root: int, lines: Sequence[_Line]) -> None:
        self.root, self.lines, self.asked = root, lines, 0
        self.quota_ids = [line.row.id for line in lines]

    def add(self, milli: int) -> None:
        """Count so much in all rows."""
        for row, _, _ in self.lines:
            row.used_milli += milli

    def is_over(self) -> bool:
        """Whether somebody borrows now."""
        return any(row.used_milli + row.open_guarantee_milli > own for row, own, _ in self.lines)

    def has_room(self, milli: int) -> bool:
        """Whether each row has so much left."""
        return all(row.used_milli + row.open_guarantee_milli + milli <= most for row, _, most in self.lines)


class _Project(NamedTuple):
    """What a project's asks are counted in, of everything and by the numbers of models. ``above`` has rows of models.

    ``is_there``: it and its root have a row of everything.
    """

    is_there: bool
    everything: _Sum
    above: tuple[UUID, ...]
    of_models: dict[int, tuple[_Sum, Taken]]


class _Plain:
    """The rows of a book where none keeps anything for a row below and all count every profile in every pool.

    There each row has room or not whatever the others say. What is within all nominals together, everybody may have
    one after another, so it is added up first. Rows of one tenant count nothing of another.
    """

    def __init__(self, of_project: _OfProject) -> None:
        self._of_project = {
            number: {model: list(map(_line, rows)) for model, rows in of_models.items()}
            for number, of_models in of_project.items()
        }
        self._with_models = {number for number, of_models in of_project.items() if len(of_models) > (None in of_models)}
        self._projects: dict[int, _Project] = {}
        self._sums: dict[tuple[int, int | None], _Sum] = {}

    def add_up(self, asks: Sequence[Ask]) -> list[Taken | None]:
        """Count what is asked of tenants where nobody borrows for it. None: it has to be counted one by one.

        Where somebody is looked at more closely, all of his tenant's are: nobody overtakes him.
        """
        found: list[tuple[int, Taken] | None] = []
        in_turn: set[int] = set()  # roots of tenants
        for ask in asks:
            project = self._projects.get(ask.lineage[-1].int) or self._project(ask.lineage)
            if ask.model_id is None or not ask.milli or not ask.units_milli or not project.is_there:
                if ask.milli or ask.units_milli:
                    in_turn.add(ask.lineage[0].int)
                found.append(None)
                continue
            of_model, taken = project.of_models.get(ask.model_id.int) or self._of_model(project, ask.model_id.int)
            project.everything.asked += ask.units_milli
            of_model.asked += ask.milli
            found.append((of_model.root, taken))
        left = self._settle(in_turn)
        return [None if pair is None or pair[0] in left else pair[1] for pair in found]

    def _settle(self, in_turn: set[int]) -> set[int]:
        """Count all that is asked but where it is too much, or what has to be in turn; return the roots of those."""
        sums = [each for each in self._sums.values() if each.asked]
        for each in sums:
            each.add(each.asked)
        left = in_turn | {each.root for each in sums if each.is_over()}
        for each in sums:
            if each.root in left:
                each.add(-each.asked)
            each.asked = 0
        return left

    def take(self, ask: Ask) -> Taken | None:
        """Count it as ``Book.take`` does; None: it has to look closer, and nothing was counted."""
        project = self._projects.get(ask.lineage[-1].int) or self._project(ask.lineage)
        if ask.model_id is None or not ask.milli or not ask.units_milli or not project.is_there:
            return None
        everything = project.everything
        of_model, taken = project.of_models.get(ask.model_id.int) or self._of_model(project, ask.model_id.int)
        if not everything.has_room(ask.units_milli) or not of_model.has_room(ask.milli):
            return None
        everything.add(ask.units_milli)
        of_model.add(ask.milli)
        is_borrowed = any(row.used_milli > row.nominal_milli for row, _, _ in (*everything.lines, *of_model.lines))
        return Taken(taken.quota_ids, is_borrowed=True) if is_borrowed else taken

    def _project(self, lineage: Sequence[UUID]) -> _Project:
        of_projects = [self._of_project.get(project_id.int, {}) for project_id in lineage]
        is_there = None in of_projects[0] and None in of_projects[-1]
        # Most projects have no rows of models, and share what those above them have.
        height = len(lineage)
        while height and lineage[height - 1].int not in self._with_models:
            height -= 1
        new = _Project(is_there, self._sum(lineage, None), tuple(lineage[: max(height, 1)]), {})
        self._projects[lineage[-1].int] = new
        return new

    def _of_model(self, project: _Project, model: int) -> tuple[_Sum, Taken]:
        of_model = self._sum(project.above, model)
        quota_ids = _in_order([*project.everything.quota_ids, *of_model.quota_ids])
        new = project.of_models[model] = of_model, Taken(quota_ids, False)
        return new

    def _sum(self, lineage: Sequence[UUID], model: int | None) -> _Sum:
        """Return the rows of a model, or of everything, up from the last project of a lineage."""
        key = lineage[-1].int, model
        known = self._sums.get(key)
        if known is None:
            of_projects = [self._of_project.get(project_id.int, {}).get(model, ()) for project_id in lineage]
            known = self._sums[key] = _Sum(lineage[0].int, [line for lines in of_projects for line in lines])
        return known


def _line(row: Row) -> _Line:
    limit, hard = row.limit_milli, row.hard_limit_milli
    own = row.nominal_milli if hard is None else min(row.nominal_milli, hard)  # what may be borrowed is never negative
    return _Line(row, own, _WITHOUT_LIMIT if limit is None else limit)


_number = attrgetter("int")  # of a UUID: compared faster, and in the same order


def _in_order(ids: Iterable[UUID]) -> tuple[UUID, ...]:
    return tuple(sorted(ids, key=_number))

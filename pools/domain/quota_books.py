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
            known = self._paths[key] = _Path(is_there, matching, _in_order(matching), list(self._chains(matching)))
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


class _Part(NamedTuple):
    """Rows of a project and those above it with their limits. ``is_there``: it and its root have one."""

    limits: list[tuple[Row, int]]
    is_there: bool


class _Plain:
    """The rows of a book where none keeps anything for a row below and all count every profile in every pool.

    There each row has room or not whatever the others say, so that they need not be climbed in their order.
    """

    def __init__(self, of_project: _OfProject) -> None:
        self._of_project = of_project
        self._with_models = {number for number, of_models in of_project.items() if len(of_models) > (None in of_models)}
        self._parts: dict[tuple[int, int | None], _Part] = {}
        self._taken: dict[tuple[int, int], Taken] = {}

    def take(self, ask: Ask) -> Taken | None:
        """Count it as ``Book.take`` does; None: it has to look closer, and nothing was counted."""
        milli, units, lineage = ask.milli, ask.units_milli, ask.lineage
        everything = self._part(lineage, None)
        if not everything.is_there or not milli or not units or ask.model_id is None:
            return None
        # Most projects have no rows of models, and share what those above them have.
        height = len(lineage)
        while height and lineage[height - 1].int not in self._with_models:
            height -= 1
        of_model = self._part(lineage[:height], ask.model_id.int).limits if height else ()
        for row, limit in everything.limits:
            if row.used_milli + row.open_guarantee_milli + units > limit:
                return None
        for row, limit in of_model:
            if row.used_milli + row.open_guarantee_milli + milli > limit:
                return None
        is_borrowed = False
        for row, _ in everything.limits:
            row.used_milli = used = row.used_milli + units
            is_borrowed = is_borrowed or used > row.nominal_milli
        for row, _ in of_model:
            row.used_milli = used = row.used_milli + milli
            is_borrowed = is_borrowed or used > row.nominal_milli
        key = lineage[-1].int, ask.model_id.int
        taken = self._taken.get(key)
        if taken is None:
            quota_ids = _in_order([row for row, _ in (*everything.limits, *of_model)])
            taken = self._taken[key] = Taken(quota_ids, is_borrowed=False)
        return Taken(taken.quota_ids, is_borrowed=True) if is_borrowed else taken

    def _part(self, lineage: Sequence[UUID], model: int | None) -> _Part:
        """Return the rows of a model, or of everything, up from the last project of a lineage."""
        key = lineage[-1].int, model
        known = self._parts.get(key)
        if known is None:
            of_projects = [self._of_project.get(project_id.int, {}).get(model, []) for project_id in lineage]
            limits = [
                (row, _WITHOUT_LIMIT if row.limit_milli is None else row.limit_milli)
                for rows in of_projects
                for row in rows
            ]
            known = self._parts[key] = _Part(limits, bool(of_projects[0] and of_projects[-1]))
        return known


_number = attrgetter("int")  # of a UUID: compared faster, and in the same order


def _in_order(rows: Iterable[Row]) -> tuple[UUID, ...]:
    return tuple(sorted([row.id for row in rows], key=_number))

"""What claims take of quotas and releases give back: rows locked in the caller's transaction, counted in memory.

First of all locks: quota rows by (depth, id), then capacity, then roll-ups. Whoever adds or removes rows
(services.quotas) raises the generation of all rows that the same claims lock, and holds them until it commits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from pools.domain.quota_books import Book
from pools.domain.quotas import Ask, Row
from pools.selectors import columns, prepared

# Longer than a batch of another process takes, or under load each of a batch would go alone.
BRIEF: Final = "200ms"

# `seen` is what the statement's snapshot has. A locked row comes as it is once the lock is had, which may be newer.
_READ: Final = """
WITH seen AS MATERIALIZED (
    SELECT id, generation FROM quota
    WHERE project_id = ANY(%(projects)s::uuid[])
        AND (model_id IS NULL OR (project_id, model_id) IN (
            SELECT * FROM unnest(%(model_projects)s::uuid[], %(models)s::uuid[])))
        AND (profile IS NULL OR profile = ANY(%(profiles)s::text[]))
        AND (pools IS NULL OR pools && %(pools)s::uuid[])
)
SELECT q.generation = seen.generation, (SELECT count(*) FROM seen), q.id, q.project_id, q.model_id, q.profile, q.pools,
    q.parent_id, q.depth, q.nominal_milli, q.borrow_limit_milli, q.lend_limit_milli, q.hard_limit_milli, q.weight,
    q.used_milli, q.open_guarantee_milli
FROM seen JOIN quota q ON q.id = seen.id ORDER BY q.depth, q.id
"""
_LOCK: Final = f"{_READ} FOR NO KEY UPDATE OF q"
# Differences, so that nothing is lost even of a row that was not locked.
_STORE: Final = """
UPDATE quota q SET used_milli = q.used_milli + n.used, open_guarantee_milli = q.open_guarantee_milli + n.kept
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) n (id, used, kept)
WHERE q.id = n.id AND q.used_milli + n.used >= 0 AND q.open_guarantee_milli + n.kept >= 0
"""


def locked(asks: Sequence[Ask], *, is_brief: bool = False) -> Book:
    """Return all rows that may count these asks, locked by (depth, id) to the end of the transaction.

    One query; another when it had to wait for somebody who added or removed rows, and when there are none. No query
    when nobody asks. ``is_brief``: raises OperationalError because of LockNotAvailable rather than wait for long.
    """
    if not asks:
        return Book([])
    if is_brief:
        with prepared.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{BRIEF}'")
    book = _locked(_params(asks))
    if is_brief:
        with prepared.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    return book


def _locked(params: Mapping[str, Any]) -> Book:
    found, is_current = _rows(_LOCK, params)
    if not is_current:
        found, _ = _rows(_LOCK, params)  # nobody adds or removes any while one of them is locked
    return Book(found)


def rows(asks: Sequence[Ask]) -> list[Row]:
    """Return the rows that may count these asks, as they are. One query."""
    return _rows(_READ, _params(asks))[0]


def read(asks: Sequence[Ask]) -> Book:
    """Return the same rows without a lock, for what is only tried. One query."""
    return Book(rows(asks))


def store(book: Book) -> None:
    """Write what was taken and given back, in one statement; none when nothing was.

    Raises RuntimeError when a row is gone or would count less than nothing: then it was not locked.
    """
    changes = book.changed()
    if not changes:
        return
    params = [
        columns.uuids([change.quota_id for change in changes]),
        columns.bigints([change.used_milli for change in changes]),
        columns.bigints([change.open_guarantee_milli for change in changes]),
    ]
    with prepared.cursor() as cursor:
        cursor.execute(_STORE, params)
        if cursor.rowcount != len(changes):
            raise RuntimeError("The rows of a quota changed although they should have been locked.")


def _params(asks: Sequence[Ask]) -> dict[str, Any]:
    """Return what the rows are found by. Of the rows of models each project has only those that it is asked for."""
    # Told apart by their numbers, or as the same objects: many ask for alike, and ids take long to hash.
    models_of: dict[int, dict[int, UUID]] = {}
    lineages: dict[int, Sequence[UUID]] = {}
    for ask in asks:
        of_lineage = models_of.get(id(ask.lineage))
        if of_lineage is None:
            of_lineage = models_of[id(ask.lineage)] = {}
            lineages[id(ask.lineage)] = ask.lineage
        if ask.model_id is not None:
            of_lineage[ask.model_id.int] = ask.model_id
    projects: dict[int, tuple[UUID, dict[int, UUID]]] = {}
    for number, lineage in lineages.items():
        for project_id in lineage:
            projects.setdefault(project_id.int, (project_id, {}))[1].update(models_of[number])
    return {
        "projects": columns.uuids([project_id for project_id, _ in projects.values()]),
        "model_projects": columns.uuids([project_id for project_id, models in projects.values() for _ in models]),
        "models": columns.uuids([id for _, models in projects.values() for id in models.values()]),
        "profiles": columns.texts(list({ask.profile for ask in asks if ask.profile})),
        "pools": columns.uuids({ask.pool_id.int: ask.pool_id for ask in asks}.values()),
    }


def _rows(statement: str, params: Mapping[str, Any]) -> tuple[list[Row], bool]:
    """Return the rows, and whether they are all there are now."""
    with prepared.cursor() as cursor:
        cursor.execute(statement, params)
        found = cursor.fetchall()
    is_current = bool(found) and len(found) == found[0][1] and all(row[0] for row in found)
    return [Row(*row[2:]) for row in found], is_current

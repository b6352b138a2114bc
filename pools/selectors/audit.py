"""What people and programs did, for those who may read of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import BooleanField, CharField, Func, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL

from pools.domain import filters
from pools.domain.access import Access
from pools.models import AuditEvent, Pool, Project
from pools.selectors import access as rights
from pools.selectors import pages, seals
from pools.selectors.pages import Page

STREAM: Final = "audit_event"
FILTERS: Final = {
    "actor": filters.words,
    "action": filters.words,
    "object_kind": filters.words,
    "object": filters.words,
    "project": filters.words,
    "pool": filters.words,
    "request_id": filters.words,
    "from": filters.instant,
    "to": filters.instant,
    "q": filters.phrase,
}
XID: Final = Func(template='"audit_event"."xid"::text', output_field=CharField())
"""The transaction that wrote a row; the model does not know the column."""
BY_XID: Final = RawSQL('"audit_event"."xid"', [])
"""To sort by it, and then by id: the one order of all rows that has an index."""
PLACE: Final = pages.Order(("xid", "id"), tuple[pages.Number, pages.Number])
_TEXTS: Final = ("actor", "action", "object_name", "object_id", "reason")
_COLUMNS: Final = (
    "id",
    "at",
    "actor",
    "token_prefix",
    "project_id",
    "request_id",
    "action",
    "object_kind",
    "object_id",
    "object_name",
    "reason",
    "before",
    "after",
)
_ROWS_AT_ONCE: Final = 500


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One write, by whom, in which request, with what it changed; secrets are ``***``.

    ``project`` is the path of the project it belongs to. ``seal`` is the number of the seal that proves the row, made
    at ``sealed_at``; null for the newest rows.
    """

    id: int
    at: datetime
    actor: str
    token_prefix: str
    project_id: UUID | None
    project: str | None
    request_id: str
    action: str
    object_kind: str
    object_id: str
    object_name: str
    reason: str
    before: Any
    after: Any
    seal: int | None
    sealed_at: datetime | None


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[AuditRow]:
    """Return audit rows, the newest first. Two queries, one more for each named project or pool. Raises Invalid."""
    query = _presented(_matching(params, access)).order_by(BY_XID.desc(), "-id")
    if cursor:
        query = query.filter(_before(pages.decode(cursor, PLACE)))
    rows = list(query[: limit + 1])
    last = rows[limit - 1] if len(rows) > limit else None
    next_cursor = pages.encode([int(last["xid"]), last["id"]]) if last else None
    return Page(_with_seals(rows[:limit]), next_cursor)


def everything(*, params: Mapping[str, str], access: Access) -> Iterator[AuditRow]:
    """Return all audit rows that match, the oldest first, read in pieces as they are asked for. Raises Invalid at once.

    Each piece is a query of its own: somebody who reads slowly keeps no transaction open.
    """
    return _pieces(_presented(_matching(params, access)).order_by(BY_XID, "id"))


def visible(access: Access, noun: str = "audit") -> Q:
    """Return the condition on audit rows of which this one may know.

    Who has the right on the platform, all; others those of the projects in which they have it.
    """
    limit = Q()
    if access.scope.pools is not None:
        limit = Q(object_kind="pool", object_id__in=[str(pool_id) for pool_id in access.scope.pools])
    if access.everywhere(noun, "read"):
        return limit
    return limit & Q(project_id__in=Project.objects.filter(rights.projects(access, noun, "read")).values("pk"))


def behind(place: Sequence[int]) -> RawSQL:
    """Return the condition on rows behind a place (xid, id); it uses the index."""
    xid, row_id = place
    return RawSQL(
        '("audit_event"."xid", "audit_event"."id") > (%s::xid8, %s)', [str(xid), row_id], output_field=BooleanField()
    )


def _before(place: Sequence[int]) -> RawSQL:
    xid, row_id = place
    return RawSQL(
        '("audit_event"."xid", "audit_event"."id") < (%s::xid8, %s)', [str(xid), row_id], output_field=BooleanField()
    )


def project_path() -> Subquery:
    """Return the path of an audit row's project as it is now."""
    return Subquery(Project.objects.filter(pk=OuterRef("project_id")).values("path")[:1])


def _pieces(query: QuerySet[Any, Any]) -> Iterator[AuditRow]:
    place = seals.BEGINNING
    while rows := list(query.filter(behind(place))[:_ROWS_AT_ONCE]):
        place = int(rows[-1]["xid"]), rows[-1]["id"]
        yield from _with_seals(rows)


def _presented(query: QuerySet[AuditEvent]) -> QuerySet[Any, Any]:
    columns: dict[str, Any] = {"xid": XID, "project": project_path()}
    found: QuerySet[Any, Any] = query.values(*_COLUMNS, **columns)
    return found


def _with_seals(rows: list[dict[str, Any]]) -> list[AuditRow]:
    places = [(row.pop("xid"), row["id"]) for row in rows]
    numbers = seals.numbers(STREAM, places) if places else {}
    return [_row(row, *numbers.get(row["id"], (None, None))) for row in rows]


def _row(row: dict[str, Any], seal: int | None, sealed_at: datetime | None) -> AuditRow:
    return AuditRow(**row, seal=seal, sealed_at=sealed_at)


def _matching(params: Mapping[str, str], access: Access) -> QuerySet[AuditEvent]:
    wanted = filters.read(params, FILTERS)
    condition = visible(access)
    for name in ("actor", "action", "object_kind", "request_id"):
        if name in wanted:
            condition &= Q(**{f"{name}__in": wanted[name]})
    if "object" in wanted:
        condition &= Q(object_id__in=wanted["object"]) | Q(object_name__in=wanted["object"])
    if "project" in wanted:
        condition &= Q(project_id__in=_project_ids(wanted["project"], access))
    if "pool" in wanted:
        condition &= _about_pools(wanted["pool"], access)
    if "from" in wanted:
        condition &= Q(at__gte=wanted["from"])
    if "to" in wanted:
        condition &= Q(at__lt=wanted["to"])
    if "q" in wanted:
        phrase = Q()
        for text in _TEXTS:
            phrase |= Q(**{f"{text}__icontains": wanted["q"]})
        condition &= phrase
    return AuditEvent.objects.filter(condition)


def _project_ids(words: Collection[str], access: Access) -> list[UUID]:
    """Return the projects of these paths or ids and all below them, archived ones too. Raises Invalid."""
    ids = [pk for word in words if (pk := filters.as_uuid(word))]
    named = Q(pk__in=ids) | Q(path__in=words)
    roots = list(Project.objects.filter(named, rights.projects(access, "audit", "read")).values_list("pk", "path"))
    known = {text for pk, path in roots for text in (str(pk), path)}
    for word in words:
        if word not in known:
            raise filters.unknown("project", word, ())
    below = Q(lineage__overlap=[pk for pk, _ in roots])
    return list(Project.objects.filter(below).values_list("pk", flat=True))


def _about_pools(words: Collection[str], access: Access) -> Q:
    """Return the condition on rows about the pools of these names or ids, by whatever names they have had.

    A name that no pool has, or none that the caller may know of, finds the rows that were written under that name.
    """
    ids = [pk for word in words if (pk := filters.as_uuid(word))]
    named = Pool.objects.filter(Q(pk__in=ids) | Q(name__in=words), rights.pools(access)).values_list("pk", "name")
    pools = list(named)
    condition = Q(object_id__in=[str(pk) for pk, _ in pools])
    if unknown := set(words) - {text for pk, name in pools for text in (str(pk), name)}:
        condition |= Q(object_name__in=unknown) | Q(object_id__in=unknown)
    return Q(object_kind="pool") & condition

"""The tree of projects, as far as the caller may know of it."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import BooleanField, F, Func, Q, QuerySet

from pools.domain import filters, states
from pools.domain.access import Access
from pools.domain.errors import FieldError, Invalid, ProjectMissing
from pools.models import Project
from pools.selectors import access as rights
from pools.selectors import pages, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "parent": filters.words,
    "under": filters.words,
    "state": filters.some_of(states.PROJECT_STATES),
    "label": filters.selector,
    "q": filters.phrase,
}
BY_PATH: Final = pages.Order(("path", "id"), tuple[str, UUID])
_NAMES_TRIED: Final = 1000
_PLAIN: Final = ("id", "name", "path", "display_name", "labels", "state", "generation", "created_at", "archived_at")


class ProjectRow(msgspec.Struct, frozen=True, kw_only=True):
    """A project. ``path`` is its full name, ``parent`` the path above it (null for a tenant).

    ``state`` is its own, ``effective_state`` the one that counts: suspended as well when one above it is.
    """

    id: UUID
    name: str
    path: str
    parent: str | None
    display_name: str
    labels: dict[str, str]
    state: str
    effective_state: str
    generation: int
    created_at: datetime
    archived_at: datetime | None


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, access: Access) -> Page[ProjectRow]:
    """Return projects by path, so that each comes before what is below it; archived ones only when asked for by state.

    ``under`` is a project and all below it. One query, one more for each of ``parent`` and ``under``.
    Raises Invalid that names every unknown filter and bad value.
    """
    wanted = filters.read(params, FILTERS)
    query = Project.objects.filter(rights.projects(access))
    query = query.filter(state__in=wanted["state"]) if "state" in wanted else query.exclude(state="archived")
    if "parent" in wanted:
        query = query.filter(parent__in=project_ids(wanted["parent"], access, field="parent"))
    if "under" in wanted:
        query = query.filter(lineage__overlap=project_ids(wanted["under"], access, field="under"))
    if "label" in wanted:
        query = query.filter(references.labelled(wanted["label"], "labels"))
    if "q" in wanted:
        query = query.filter(Q(path__icontains=wanted["q"]) | Q(display_name__icontains=wanted["q"]))
    return pages.mapped(pages.cut(_described(query), BY_PATH, cursor, limit), _row)


def one(project_id: UUID, access: Access) -> ProjectRow:
    """Return a project, also an archived one. One query. Raises ProjectMissing."""
    found = _described(Project.objects.filter(rights.projects(access), pk=project_id)).first()
    if found is None:
        raise ProjectMissing
    return _row(found)


def project_ids(words: Collection[str], access: Access, *, field: str = "project") -> list[UUID]:
    """Return the ids of several projects by path or id, of those the caller may know, in one query.

    Raises Invalid that names each unknown one and the nearest known.
    """
    by_id = {pk for word in words if (pk := filters.as_uuid(word))}
    known = Project.objects.filter(rights.projects(access))
    found = known.filter(Q(pk__in=by_id) | Q(path__in=words) & ~Q(state="archived")).values_list("pk", "path")
    by_reference = {reference: pk for pk, path in found for reference in (str(pk), path)}
    if unknown := [word for word in words if word.lower() not in by_reference]:
        paths = list(known.exclude(state="archived").order_by("path").values_list("path", flat=True)[:_NAMES_TRIED])
        told = [f'"{word[:64]}" is not known. {filters.meant(word, paths)}'.rstrip() for word in unknown]
        raise Invalid(fields=tuple(FieldError(field, "bad_value", detail) for detail in told))
    return list(dict.fromkeys(by_reference[word.lower()] for word in words))


def _described(query: QuerySet[Project]) -> QuerySet[Any, Any]:
    is_suspended = Func(
        F("lineage"),
        template="EXISTS (SELECT FROM project a WHERE a.id = ANY(%(expressions)s) AND a.state = 'suspended')",
        output_field=BooleanField(),
    )
    described: QuerySet[Any, Any] = query.annotate(is_suspended=is_suspended)
    return described.values(*_PLAIN, "is_suspended")


def _row(found: Mapping[str, Any]) -> ProjectRow:
    values = dict(found)
    suspended = values.pop("is_suspended") and values["state"] == "active"
    return ProjectRow(
        **values,
        parent=values["path"].rpartition("/")[0] or None,
        effective_state="suspended" if suspended else values["state"],
    )

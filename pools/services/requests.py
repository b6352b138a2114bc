"""From the bodies that people send to requests that claims answer: checked, with flavor, project and rights."""

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from pools.domain import filters, ids, request_body, request_rules
from pools.domain.actors import Actor
from pools.domain.errors import Denied, DomainError, FieldError, Invalid, ProjectSuspended
from pools.domain.request import Wanted
from pools.models import ChipModel, Flavor
from pools.selectors import prepared
from pools.services import models
from pools.services.asked import Asked

# Fields of the API that nothing carries out yet: better refused than taken and forgotten.
_LATER: Final = ("consumer_pool",)
_PROJECTS: Final = """
SELECT p.id, p.path, p.lineage, (
    SELECT s.path FROM project s WHERE s.id = ANY(p.lineage) AND s.state = 'suspended'
    ORDER BY cardinality(s.lineage) LIMIT 1)
FROM project p WHERE (p.id = ANY(%s::uuid[]) OR p.path = ANY(%s::text[])) AND p.state <> 'archived'
"""


_ALIKE_MOST: Final = 1024
_ALIKE_LONGEST: Final = 1024
_alike: Final[dict[bytes, Wanted]] = {}  # read by this process before, of which nothing but the catalogue decides


class _Project(NamedTuple):
    """Where a request belongs; ``suspended`` is the path of the first project above it, or itself, that is."""

    id: UUID
    path: str
    lineage: tuple[UUID, ...]
    suspended: str | None


def read_all(
    bodies: Sequence[Any],
    *,
    actor: Actor,
    now: datetime,
    verb: str = "create",
    allocation_ids: Sequence[UUID] | None = None,
) -> list[Asked | DomainError]:
    """Return a request for each body, or what is wrong with it. The number of queries is the same for one and many.

    They get new ids or, in their order, those that are given. Whoever asks needs the right (``verb`` of allocations) in
    the project of each. What is wrong is Invalid with all mistakes, Denied, or ProjectSuspended.
    """
    asking = [(body, actor) for body in bodies]
    return read_each(asking, now=now, verb=verb, allocation_ids=allocation_ids)


def read_each(
    asking: Sequence[tuple[Any, Actor]],
    *,
    now: datetime,
    verb: str = "create",
    allocation_ids: Sequence[UUID] | None = None,
) -> list[Asked | DomainError]:
    """As ``read_all``, for the bodies of many people."""
    known = _Known([body for body, _ in asking])
    given = allocation_ids if allocation_ids is not None else [ids.new_id() for _ in asking]
    found: list[Asked | DomainError] = []
    for id, (body, actor) in zip(given, asking, strict=True):
        try:
            found.append(known.asked(id, body, actor, now, verb))
        except DomainError as error:
            found.append(error)
    return found


def read(body: Any, *, actor: Actor, now: datetime, verb: str = "create") -> Asked:
    """Return the request of one body. Raises Invalid, Denied, ProjectSuspended."""
    (found,) = read_all([body], actor=actor, now=now, verb=verb)
    if isinstance(found, DomainError):
        raise found
    return found


class _Known:
    """What the bodies refer to, read at once."""

    def __init__(self, bodies: Sequence[Any]) -> None:
        given = [body for body in bodies if isinstance(body, Mapping)]
        self._flavors = _flavors({_text(body, "flavor") for body in given})
        self._projects = _projects({_text(body, "project") for body in given})
        self._alike: dict[bytes, Wanted] = {}
        self._open: dict[tuple[str, int], _Project] = {}  # by what it was called, to whom

    def asked(self, id: UUID, body: Any, actor: Actor, now: datetime, verb: str) -> Asked:
        wanted, like = self._wanted(body, now)
        for_whom = wanted.project, builtins.id(actor)
        project = self._open.get(for_whom)
        if project is None:
            project = self._open[for_whom] = self._project(wanted.project, actor, verb)
        return Asked(
            id=id,
            wanted=wanted,
            project_id=project.id,
            lineage=project.lineage,
            actor=actor,
            shown_as=project.path,
            like=like,
        )

    def _project(self, reference: str, actor: Actor, verb: str) -> _Project:
        """Return a project in which somebody may ask. Raises Invalid, Denied, ProjectSuspended."""
        project = self._projects.get(reference)
        if project is None or not actor.access.within("project", "read", project.lineage):
            detail = "There is no such project, or none that you may know of."
            raise Invalid(fields=(FieldError("project", "bad_value", detail),))
        if not actor.access.within("allocation", verb, project.lineage):
            raise Denied
        if project.suspended is not None:
            raise ProjectSuspended(path=project.suspended)
        return project

    def _wanted(self, body: Any, now: datetime) -> tuple[Wanted, Wanted]:
        """Return what a body asks for, and what it is like: most differ in project and name alone, so are read once."""
        key = _but_names(body)
        same = self._alike.get(key) or _alike.get(key) if key else None
        if same is not None and (name := body.get("name") or "") == _text(body, "name") and request_rules.is_name(name):
            return replace(same, project=_text(body, "project"), name=name), same
        wanted = self._read(body, now)
        if key:
            self._alike[key] = wanted
            if wanted.flavor is None and wanted.start_at is None and "_others" not in vars(self):
                _note(key, wanted)
        return wanted, wanted

    def _read(self, body: Any, now: datetime) -> Wanted:
        name = _text(body, "flavor") if isinstance(body, Mapping) else ""
        if name:
            if name not in self._flavors:
                raise filters.unknown("flavor", name, self._flavors)
            body = request_body.with_flavor(body, self._flavors[name])
        chips = models.current().by_slug
        try:
            wanted = request_body.read(body, chips, now=now)
        except Invalid:  # maybe for a model that no catalogue has
            wanted = request_body.read(body, chips, other_models=self._others, now=now)
        later = [FieldError(name, "not_yet", "This is not possible yet; leave it out.") for name in _LATER]
        if wrong := tuple(each for each in later if getattr(wanted, each.field) is not None):
            raise Invalid(fields=wrong)
        return wanted

    @cached_property
    def _others(self) -> list[str]:
        return list(ChipModel.objects.filter(is_catalogued=False).values_list("slug", flat=True))


def _note(key: bytes, wanted: Wanted) -> None:
    if len(key) <= _ALIKE_LONGEST:
        if len(_alike) >= _ALIKE_MOST:
            _alike.clear()
        _alike[key] = wanted


def _but_names(body: Any) -> bytes:
    """Return a body without those two as bytes, nothing where its project cannot be one."""
    if not isinstance(body, Mapping) or not _text(body, "project"):
        return b""
    try:
        return msgspec.json.encode({name: value for name, value in body.items() if name not in ("project", "name")})
    except UnicodeEncodeError:
        return b""  # half a character, which cannot be stored either


def _flavors(names: set[str]) -> dict[str, dict[str, Any]]:
    if names <= {""}:
        return {}
    return dict(Flavor.objects.filter(removed_at=None).values_list("name", "spec"))


def _projects(references: set[str]) -> dict[str, _Project]:
    by_id = [id for word in references if (id := filters.as_uuid(word))]
    with prepared.cursor() as cursor:
        cursor.execute(_PROJECTS, [by_id, [word for word in references if word]])
        found = [_Project(id, path, tuple(above), last) for id, path, above, last in cursor.fetchall()]
    return {reference: project for project in found for reference in (str(project.id), project.path)}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) and "\x00" not in value and value.isprintable() else ""

"""Invitations, and what whoever has a link may know of one."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Case, CharField, Q, QuerySet, Value, When

from pools.domain import filters
from pools.domain.access import Access
from pools.domain.errors import Denied, InvitationEnded, InvitationMissing
from pools.models import Invitation, Project
from pools.selectors import access as rights
from pools.selectors import logins, pages, projects
from pools.selectors.pages import Page

STATES: Final = ("open", "accepted", "withdrawn", "expired")
FILTERS: Final = {
    "project": filters.words,
    "state": filters.some_of(STATES),
    "role": filters.words,
    "q": filters.phrase,
}
_NEWEST_FIRST: Final = pages.Order(("id",), tuple[UUID], is_descending=True)
_PLAIN: Final = ("id", "email", "role", "invited_by", "created_at", "expires_at", "ended_at")


class InvitationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A role that waits for somebody, in a project or (null) on the platform; an empty ``role`` is an account only."""

    id: UUID
    email: str
    role: str
    project: str | None
    state: str
    invited_by: str
    accepted_by: str | None
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class OpenInvitation(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever has the link is told. ``has_account``: somebody with this e-mail address is to log in first."""

    email: str
    role: str
    project: str | None
    invited_by: str
    expires_at: datetime
    has_account: bool


def page(
    *,
    params: Mapping[str, str],
    cursor: str | None,
    limit: int,
    now: datetime,
    access: Access,
    project: Project | None = None,
) -> Page[InvitationRow]:
    """Return the invitations that the caller may know of (of one project), the newest first.

    One query, one more for names of projects in the filter. Raises Invalid.
    """
    wanted = filters.read(params, FILTERS)
    query = Invitation.objects.filter(_readable(access))
    if project is not None:
        query = query.filter(project=project)
    if "project" in wanted:
        query = query.filter(project__in=projects.project_ids(wanted["project"], access))
    if "role" in wanted:
        query = query.filter(role__in=wanted["role"])
    if "q" in wanted:
        query = query.filter(email__icontains=wanted["q"])
    described = _described(query, now)
    if "state" in wanted:
        described = described.filter(state__in=wanted["state"])
    return pages.mapped(pages.cut(described, _NEWEST_FIRST, cursor, limit), _row)


def one(invitation_id: UUID, now: datetime, access: Access) -> InvitationRow:
    """Return an invitation. One query. Raises InvitationMissing."""
    found = _described(Invitation.objects.filter(_readable(access), pk=invitation_id), now).first()
    if found is None:
        raise InvitationMissing
    return _row(found)


def reachable(invitation_id: UUID, access: Access, verb: str = "remove") -> UUID:
    """Return the id of an invitation for somebody who wants to do this to it. One query.

    Raises InvitationMissing, also for one of a project that the caller may not know of; Denied for others.
    """
    known = Q(project__in=Project.objects.filter(rights.projects(access))) | _of_platform(access)
    lineage = Invitation.objects.filter(known, pk=invitation_id).values_list("project__lineage").first()
    if lineage is None:
        raise InvitationMissing
    if not access.within("invitation", verb, lineage[0] or []):
        raise Denied
    return invitation_id


def opened(secret: str, now: datetime) -> OpenInvitation:
    """Return what a link invites to. Two queries. Raises InvitationMissing, InvitationEnded."""
    rows = _described(Invitation.objects.filter(hash=sha256(secret.encode()).digest()), now)
    found = rows.values("email", "role", "invited_by", "expires_at", "state", "project__path", "project__state").first()
    if found is None:
        raise InvitationMissing
    if found["state"] != "open" or found["project__state"] == "archived":
        raise InvitationEnded
    told = {name: found[name] for name in ("email", "role", "invited_by", "expires_at")}
    has_account = bool(logins.with_email(found["email"]))
    return OpenInvitation(**told, project=found["project__path"], has_account=has_account)


def _readable(access: Access) -> Q:
    if access.everywhere("invitation", "read"):
        return Q(pk__isnull=False)
    return Q(project__in=Project.objects.filter(rights.projects(access, "invitation", "read")))


def _of_platform(access: Access) -> Q:
    return Q(project=None) if access.everywhere("invitation", "read") else Q(pk__in=[])


def _described(query: QuerySet[Invitation], now: datetime) -> QuerySet[Any, Any]:
    state = Case(
        When(accepted_by__isnull=False, then=Value("accepted")),
        When(ended_at__isnull=False, then=Value("withdrawn")),
        When(expires_at__lte=now, then=Value("expired")),
        default=Value("open"),
        output_field=CharField(),
    )
    described: QuerySet[Any, Any] = query.annotate(state=state)
    return described.values(*_PLAIN, "state", "project__path", "accepted_by__username")


def _row(found: Mapping[str, Any]) -> InvitationRow:
    values = dict(found)
    return InvitationRow(project=values.pop("project__path"), accepted_by=values.pop("accepted_by__username"), **values)

"""What the pages of one project share: who may see them, the frame around them, and the project as a plain dict."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import msgspec
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from pools.domain import roles
from pools.domain.access import Access
from pools.domain.errors import Denied, ProjectMissing
from pools.selectors import project_sizes, projects, references
from pools.selectors.project_sizes import ProjectSize
from pools.selectors.projects import ProjectRow
from pools.web import pages
from pools.web.pages import View

# (name of the address, label, noun that one must be able to read there).
_TABS: Final = (
    ("project", _("Overview"), "project"),
    ("project-pools", _("Pools"), "pool"),
    ("project-members", _("Members"), "member"),
    ("project-invitations", _("Invitations"), "invitation"),
    ("project-service-accounts", _("Service accounts"), "service_account"),
    ("project-settings", _("Settings"), "project"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """The project of an address. ``model`` is for selectors that ask for it, ``row`` for templates."""

    model: Any
    row: dict[str, Any]

    @property
    def reference(self) -> str:
        """What stands for it in addresses."""
        return str(self.row["reference"])

    def may(self, access: Access, noun: str, verb: str) -> bool:
        """True when it is allowed in this project."""
        return access.within(noun, verb, self.model.lineage)

    def may_above(self, access: Access, verb: str) -> bool:
        """True when it may be done to the project by who decides on it: the one above, or the platform."""
        return access.within("project", verb, self.model.lineage[:-1])


def of(noun: str = "project", verb: str = "read", *, post: str = "", above: bool = False) -> Callable[[View], View]:
    """Let those in who may do this to the noun in the project, and hand the view its Place.

    ``post`` is the verb that sending the page's form needs; ``above``: the right is needed in the project above.
    """

    def guard(view: View) -> View:
        @pages.signed_in
        @wraps(view)
        def guarded(request: HttpRequest, reference: str, *args: Any, **kwargs: Any) -> HttpResponse:
            access = pages.access(request)
            wanted = post if post and request.method == "POST" else verb
            try:
                model = references.project(reference, access, noun=noun, verb=wanted, above=above)
                row = projects.one(model.pk, access)
            except ProjectMissing:
                raise Http404 from None
            except Denied:
                raise PermissionDenied from None
            return view(request, Place(model, presented(row)), *args, **kwargs)

        return guarded

    return guard


def presented(row: ProjectRow, size: ProjectSize = project_sizes.NOTHING) -> dict[str, Any]:
    """Return a project as a plain dict.

    Added: reference, above, is_inherited_state, members, pools, children.
    """
    project = msgspec.structs.asdict(row)
    return project | {
        "reference": str(row.id) if row.state == "archived" else row.path,
        "above": row.path.rpartition("/")[0],
        "is_inherited_state": row.state != row.effective_state,
        **msgspec.structs.asdict(size),
    }


def tab(
    request: HttpRequest, here: str, place: Place, context: dict[str, Any], *, template: str = "", status: int = 200
) -> HttpResponse:
    """Render one of the project's tabs: templates/projects/tab_<name>.html, with what may be done there."""
    access = pages.access(request)
    tabs = [
        {"name": name, "label": label, "is_here": name == here}
        for name, label, noun in _TABS
        if place.may(access, noun, "read")
    ]
    part = here.removeprefix("project").removeprefix("-").replace("-", "_") or "overview"
    shown = {"project": place.row, "tabs": tabs, "may": _may(access, place), **context}
    return pages.page(request, template or f"projects/tab_{part}.html", shown, here="projects", status=status)


def givable(access: Access, place: Place | None) -> list[str]:
    """Return the roles that the caller may give in the project (None: on the platform), the lowest first."""
    names = roles.PLATFORM_ROLES if place is None else tuple(reversed(roles.PROJECT_ROLES))
    return [role for role in names if access.may_give(role, place.model.lineage if place else [])]


def _may(access: Access, place: Place) -> dict[str, bool]:
    is_open = place.row["state"] != "archived"
    return {
        "see_above": bool(place.row["above"]) and place.may_above(access, "read"),
        "make_below": is_open and place.may(access, "project", "create"),
        "edit": is_open and place.may(access, "project", "edit"),
        "edit_above": is_open and place.may_above(access, "edit"),
        "operate": is_open and place.may_above(access, "operate"),
        "archive": is_open and place.may_above(access, "remove"),
        "restore": not is_open and place.may_above(access, "remove"),
        "add_member": is_open and place.may(access, "member", "create"),
        "edit_member": is_open and place.may(access, "member", "edit"),
        "invite": is_open and place.may(access, "invitation", "create"),
        "withdraw": place.may(access, "invitation", "remove"),
        "make_account": is_open and place.may(access, "service_account", "create"),
        "grant": is_open and access.everywhere("grant", "edit"),
        "audit": access.within("audit", "read", place.model.lineage),
    }

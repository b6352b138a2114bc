"""What every page of the console shares: who may see it, the frame around it, and how it is rendered."""

from collections.abc import Callable, Mapping
from functools import wraps
from hashlib import blake2b
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from pools.domain import actors, roles
from pools.domain.access import NOBODY, Access
from pools.domain.actors import Actor
from pools.selectors import access as known
from pools.web import processes

View = Callable[..., HttpResponse]

THEME_COOKIE: Final = "ocenter_theme"
THEMES: Final = ("auto", "light", "dark")

# (name of the address, sprite icon, label, noun one must be able to read, whether everywhere); None draws a line.
NAVIGATION: Final = (
    ("overview", "overview", _("Overview"), "node", True),
    ("allocations", "allocation", _("Allocations"), "allocation", False),
    ("queue", "queue", _("Queue"), "allocation", False),
    ("calendar", "calendar", _("Calendar"), "allocation", False),
    ("quotas", "quota", _("Quotas"), "quota", False),
    ("fragmentation", "pieces", _("Fragmentation"), "capacity", False),
    None,
    ("pools", "pool", _("Pools"), "pool", True),
    ("nodes", "node", _("Nodes"), "node", True),
    ("devices", "device", _("Devices"), "device", True),
    ("sync-runs", "sync", _("Sync runs"), "sync_run", True),
    None,
    ("projects", "project", _("Projects"), "project", False),
    ("users", "users", _("Users"), "user", True),
    ("tokens", "key", _("Tokens"), roles.MINE, False),
    None,
    ("models", "model", _("Chip models"), "model", False),
    ("twins", "twin", _("Seen twice"), "device", True),
    ("operations", "play", _("Operations"), "allocation", True),
    ("drift", "edit", _("Drift"), "drift", True),
    ("orphans", "warn", _("Orphans"), "orphan", True),
    ("system", "system", _("System"), "system", True),
    ("audit", "clock", _("Audit"), "audit", False),
)


def allowed(noun: str, verb: str = "read", *, post: str = "") -> Callable[[View], View]:
    """Let those in who may do this somewhere; whether on this very object is for the selectors to tell.

    ``post`` is the verb that sending the page's form needs, where seeing it needs less.
    """
    return _guard(noun, verb, post, Access.somewhere)


def on_platform(noun: str, verb: str = "read", *, post: str = "") -> Callable[[View], View]:
    """Let those in who may do this whatever project it belongs to."""
    return _guard(noun, verb, post, Access.everywhere)


def signed_in(view: View) -> View:
    """Let everybody in who is logged in and has a role at all."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs) if _has_role(request) else _no_access(request)

    return never_cache(login_required(guarded))


def _has_role(request: HttpRequest) -> bool:
    rights = access(request)
    return bool(rights.platform_roles or rights.bindings)


def _no_access(request: HttpRequest) -> HttpResponse:
    return page(request, "errors/no_access.html", {}, status=403)


def _guard(noun: str, verb: str, post: str, may: Callable[[Access, str, str], bool]) -> Callable[[View], View]:
    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            rights = access(request)
            if may(rights, noun, post if post and request.method == "POST" else verb):
                return view(request, *args, **kwargs)
            if not _has_role(request):
                return _no_access(request)
            if not may(rights, noun, "read"):
                raise Http404  # one may not even know
            raise PermissionDenied

        return never_cache(login_required(guarded))

    return guard


def access(request: HttpRequest) -> Access:
    """Return what the one who is logged in may do."""
    return (known.of_user(request.user.pk) if request.user.is_authenticated else None) or NOBODY


def page(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, here: str = "", status: int = 200
) -> HttpResponse:
    """Render a template with the frame around it. ``here`` is the navigation's entry that the page belongs to."""
    return render(request, template, {**context, "shell": shell(request, here)}, status=status)


def live(request: HttpRequest, template: str, context: Mapping[str, Any], *, is_done: bool) -> HttpResponse:
    """Answer a part that refreshes itself: nothing when it is as before, and the whole page anew when it is done."""
    response = render(request, template, dict(context))
    tag = f'"{blake2b(response.content, digest_size=12).hexdigest()}"'
    if is_done:
        response = HttpResponse(headers={"HX-Refresh": "true"})
    elif request.headers.get("If-None-Match") == tag:
        response = HttpResponseNotModified()
    response.headers["ETag"] = tag
    return response


def shell(request: HttpRequest, here: str) -> dict[str, Any]:
    """Return what the frame shows.

    Shape: {navigation, may_search, may_operate, here, theme, next_theme, language, path, user_name, unwell, is_down}.
    """
    theme = request.COOKIES.get(THEME_COOKIE, "auto")
    theme = theme if theme in THEMES else "auto"
    rights = access(request)
    unwell = processes.unwell() if rights.everywhere("system", "read") else []
    return {
        "navigation": _navigation(rights),
        "may_search": rights.everywhere("node", "read"),
        "may_operate": rights.everywhere("pool", "operate"),
        "here": here,
        "theme": theme,
        "next_theme": THEMES[(THEMES.index(theme) + 1) % len(THEMES)],
        "language": get_language() or "en",
        "path": request.get_full_path(),
        "user_name": request.user.get_username(),
        "unwell": unwell,
        "is_down": any(child.get("state") != "running" for child in unwell),
    }


def actor(request: HttpRequest) -> Actor:
    """Return who asks, for the audit row."""
    return Actor(name=request.user.get_username(), request_id=actors.request_id(), access=access(request))


def _navigation(rights: Access) -> list[dict[str, Any] | None]:
    shown: list[dict[str, Any] | None] = []
    for entry in NAVIGATION:
        if entry is None:
            shown.append(None)
            continue
        name, icon, label, noun, is_of_platform = entry
        may = rights.everywhere if is_of_platform else rights.somewhere
        if may(noun, "read"):
            shown.append({"name": name, "icon": icon, "label": label})
    while shown and shown[0] is None:
        shown.pop(0)
    return shown


def is_fragment(request: HttpRequest) -> bool:
    """True when htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"


now = timezone.now

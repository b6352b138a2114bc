"""What every page of the console shares: who may see it, the frame around it, and how it is rendered."""

from collections.abc import Callable, Mapping
from functools import wraps
from hashlib import blake2b
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from pools.domain import actors
from pools.domain.actors import Actor
from pools.web import processes

View = Callable[..., HttpResponse]

THEME_COOKIE: Final = "ocenter_theme"
THEMES: Final = ("auto", "light", "dark")

# (name of the address, sprite icon, label); None draws a line.
NAVIGATION: Final = (
    ("overview", "overview", _("Overview")),
    ("pools", "pool", _("Pools")),
    ("nodes", "node", _("Nodes")),
    ("devices", "device", _("Devices")),
    ("sync-runs", "sync", _("Sync runs")),
    None,
    ("models", "model", _("Chip models")),
    ("twins", "twin", _("Seen twice")),
    ("system", "system", _("System")),
)


def for_admins(view: View) -> View:
    """Let the administrator in; send others to log in, or tell them that they have no access yet."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_superuser:
            return page(request, "errors/no_access.html", {}, status=403)
        return view(request, *args, **kwargs)

    return never_cache(login_required(guarded))


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
    """Return what the frame shows: navigation, here, theme, next_theme, language, path, user_name, unwell, is_down."""
    theme = request.COOKIES.get(THEME_COOKIE, "auto")
    theme = theme if theme in THEMES else "auto"
    unwell = processes.unwell() if request.user.is_superuser else []
    return {
        "navigation": [entry and {"name": entry[0], "icon": entry[1], "label": entry[2]} for entry in NAVIGATION],
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
    return Actor(name=request.user.get_username(), request_id=actors.request_id())


def is_fragment(request: HttpRequest) -> bool:
    """True when htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"


now = timezone.now

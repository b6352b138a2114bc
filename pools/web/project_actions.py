"""What people do to a project's state. Every action has a page that says what follows before it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from pools.services import projects
from pools.web import forms, pages, project_page
from pools.web.forms import Form
from pools.web.pages import View
from pools.web.project_page import Place


@dataclass(frozen=True, slots=True)
class Action:
    """A move of a project's state: what it is called, what follows from it, what does it."""

    heading: "str | Promise"
    label: "str | Promise"
    consequences: tuple["str | Promise", ...]
    done: "str | Promise"
    run: Callable[..., Any]
    verb: str = "operate"
    is_danger: bool = False


_SUSPEND: Final = Action(
    _("Suspend %(project)s"),
    _("Suspend"),
    (
        _("Nothing new is made in it and below: no projects, members, invitations or service accounts."),
        _("Its people still see everything, and its tokens still work. What it uses goes on."),
    ),
    _("%(project)s is suspended."),
    projects.suspend,
)
_RESUME: Final = Action(
    _("Resume %(project)s"),
    _("Resume"),
    (_("The project and all below it may make new things again, unless one of them is suspended itself."),),
    _("%(project)s is active again."),
    projects.resume,
)
_ARCHIVE: Final = Action(
    _("Archive %(project)s"),
    _("Archive"),
    (
        _("The roles in it count no more: its people do not see it any longer."),
        _("The tokens of its service accounts are revoked and its invitations withdrawn, for good."),
        _("Its name becomes free. History and audit stay, and it can be restored."),
    ),
    _("%(project)s is archived."),
    projects.archive,
    "remove",
    is_danger=True,
)
_RESTORE: Final = Action(
    _("Restore %(project)s"),
    _("Restore"),
    (
        _("The project is active again under its old name, unless another has it now; its people have their roles."),
        _("Tokens of its service accounts and its invitations stay worthless; make new ones."),
    ),
    _("%(project)s is active again."),
    projects.restore,
    "remove",
)


def _page(action: Action) -> View:
    @require_http_methods(["GET", "HEAD", "POST"])
    @project_page.of("project", action.verb, above=True)
    def page(request: HttpRequest, place: Place) -> HttpResponse:
        named = {"project": place.row["path"]}
        form = Form(
            heading=str(action.heading) % named,
            submit=action.label,
            back=reverse("project-settings", args=(place.reference,)),
            back_label=place.row["path"],
            here="projects",
            consequences=action.consequences,
            is_danger=action.is_danger,
            generation=place.row["generation"],
        )
        outcome = forms.NOT_SENT
        if request.method == "POST":
            outcome = forms.tried(
                lambda: action.run(
                    project_id=place.row["id"],
                    generation=forms.generation(request),
                    actor=pages.actor(request),
                    now=pages.now(),
                )
            )
        if not outcome.is_done:
            return forms.answer(request, form, {}, outcome)
        messages.success(request, str(action.done) % named)
        if outcome.result.state == "archived":
            return redirect("projects")
        return redirect("project", reference=outcome.result.path)

    return page


suspend, resume, archive, restore = map(_page, (_SUSPEND, _RESUME, _ARCHIVE, _RESTORE))

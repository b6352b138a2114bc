"""The table of rights, to read: every role, noun and verb."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from pools.domain import roles
from pools.web import access_words, pages, words


@require_safe
@pages.signed_in
def index(request: HttpRequest) -> HttpResponse:
    """What each role may do. It says nothing about anybody, so everybody may read it."""
    rights = pages.access(request)
    mine = rights.platform_roles | {binding.role for binding in rights.bindings}
    context = {
        "tables": [
            {"is_of_platform": True, "roles": _roles(roles.PLATFORM_ROLES, mine), "rows": _rows(roles.PLATFORM_ROLES)},
            {"is_of_platform": False, "roles": _roles(roles.PROJECT_ROLES, mine), "rows": _rows(roles.PROJECT_ROLES)},
        ],
        "knows_users": rights.everywhere("user", "read"),
    }
    return pages.page(request, "roles/list.html", context, here="users" if context["knows_users"] else "projects")


def _roles(names: tuple[str, ...], mine: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": words.label("role", name),
            "sentence": access_words.ROLES[name],
            "is_mine": name in mine,
        }
        for name in names
    ]


def _rows(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return [{noun, cells: words by role}] of the nouns that any of these roles may do something to."""
    rows = [{"noun": noun, "cells": [_verbs(name, noun) for name in names]} for noun in roles.NOUNS]
    return [row for row in rows if any(row["cells"])]


def _verbs(role: str, noun: str) -> list[str]:
    return [words.label("verb", verb) for verb in roles.VERBS.values() if roles.may(role, noun, verb)]

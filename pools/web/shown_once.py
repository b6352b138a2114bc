"""A secret that is shown once: a link or a token. It stands on the page that answers the form and nowhere else."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse

from pools.web import pages


def page(
    request: HttpRequest,
    *,
    heading: str,
    label: str,
    secret: str,
    sentences: Sequence[str],
    back: str,
    back_label: str,
    here: str,
    example: str = "",
) -> HttpResponse:
    """Show the secret in a field to copy, and an ``example`` of its use. Nothing keeps the page: it is `no-store`."""
    context: dict[str, Any] = {
        "heading": heading,
        "label": label,
        "secret": secret,
        "sentences": sentences,
        "example": example,
        "back": back,
        "back_label": back_label,
    }
    return pages.page(request, "shared/secret.html", context, here=here, status=201)

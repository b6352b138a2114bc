"""The processes of this installation and whether what they need answers."""

import json
import re
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import resolve, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from pools.web import pages, processes

_NAMES: Final = {
    "database": gettext_lazy("Database"),
    "broker": gettext_lazy("Broker"),
    "worker": gettext_lazy("Worker"),
    "beat": gettext_lazy("Scheduler"),
}
_DETAILS: Final = {
    "ok": gettext_lazy("answers"),
    "does not answer": gettext_lazy("does not answer"),
    "not seen yet": gettext_lazy("not seen yet"),
    "not known while the broker does not answer": gettext_lazy("not known while the broker does not answer"),
}


@require_safe
@pages.on_platform("system")
def system(request: HttpRequest) -> HttpResponse:
    """What /readyz answers, and the children of `manage.py up`."""
    ready = json.loads(resolve(reverse("readyz")).func(request).content)
    checks = [
        {"label": _NAMES.get(name, name), "is_ok": check["ok"], "detail": _detail(check["detail"])}
        for name, check in ready["checks"].items()
    ]
    return pages.page(
        request, "system/system.html", {"checks": checks, "children": processes.children()}, here="system"
    )


def _detail(words: str) -> Any:
    if late := re.fullmatch(r"last seen (\d+) s ago", words):
        return _("last seen %(seconds)s s ago") % {"seconds": late[1]}
    return _DETAILS.get(words, words)

"""One box over pools, nodes and devices. Results are links; without scripts the same is a page."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pools.domain.access import Access
from pools.domain.errors import Invalid
from pools.selectors import devices, nodes, pools
from pools.web import pages, words

_SHOWN: Final = 6


@require_safe
@pages.on_platform("node")
def search(request: HttpRequest) -> HttpResponse:
    """What is found, as a list under the box or as a page."""
    phrase = request.GET.get("q", "").strip()
    context = {"phrase": phrase, "groups": _groups(phrase, pages.access(request)) if phrase else []}
    template = "search/found.html" if pages.is_fragment(request) else "search/page.html"
    return pages.page(request, template, context)


def _groups(phrase: str, access: Access) -> list[dict[str, Any]]:
    now = pages.now()
    asked: dict[str, Any] = {"params": {"q": phrase}, "cursor": None, "limit": _SHOWN, "now": now, "access": access}
    try:
        found_pools, found_nodes, found_devices = pools.page(**asked), nodes.page(**asked), devices.page(**asked)
    except Invalid:
        return []  # no name holds such characters
    groups = [
        _group(
            _("Pools"),
            "pools",
            phrase,
            found_pools,
            [(reverse("pool", args=(row.name,)), row.name, words.kind(row.kind)) for row in found_pools.rows],
        ),
        _group(
            _("Nodes"),
            "nodes",
            phrase,
            found_nodes,
            [(reverse("node", args=(row.id,)), row.name, row.pool_name) for row in found_nodes.rows],
        ),
        _group(
            _("Devices"),
            "devices",
            phrase,
            found_devices,
            [
                (reverse("device", args=(row.id,)), f"{row.node_name} · {row.model_name} · {row.ref}", row.pool_name)
                for row in found_devices.rows
            ],
        ),
    ]
    return [group for group in groups if group["links"]]


def _group(label: str, name: str, phrase: str, page: Any, links: list[tuple[str, str, str]]) -> dict[str, Any]:
    return {
        "label": label,
        "links": [{"address": address, "text": text, "note": note} for address, text, note in links],
        "all_address": f"{reverse(name)}?{urlencode({'q': phrase})}" if page.next_cursor else "",
    }

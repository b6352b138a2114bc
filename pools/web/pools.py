"""The list of pools, and a pool's page whose tabs are addresses of their own."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from connectors import catalog
from pools.selectors import devices, fleet, nodes, sync_runs
from pools.selectors import pools as reads
from pools.web import charts, device_view, listing, node_view, pages, pool_actions, pool_view
from pools.web.listing import Filter

_TABS: Final = (
    ("pool", _("Overview"), "pool"),
    ("pool-capacity", _("Capacity"), "pool"),
    ("pool-nodes", _("Nodes"), "node"),
    ("pool-devices", _("Devices"), "device"),
    ("pool-runs", _("Sync runs"), "sync_run"),
    ("pool-grants", _("Grants"), "grant"),
    ("pool-settings", _("Settings"), "pool"),
)
_KINDS: Final = tuple((manifest.kind, _(manifest.label)) for manifest in catalog.MANIFESTS.values())
_FILTERS: Final = (
    Filter("q", _("Name or region"), is_wide=True),
    Filter("kind", _("Platform"), choices=_KINDS),
    Filter("state", _("State"), vocabulary="pool_state"),
    Filter("health", _("Health"), vocabulary="pool_health"),
)


@require_safe
@pages.on_platform("pool")
def index(request: HttpRequest) -> HttpResponse:
    """Every pool, a page at a time."""
    now = pages.now()
    found = listing.read(
        request,
        _FILTERS,
        lambda params, cursor: reads.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, now=now, access=pages.access(request)
        ),
    )
    return pages.page(request, "pools/list.html", found.context(pool_view.presented), here="pools")


@require_safe
@pages.on_platform("pool")
def overview(request: HttpRequest, reference: str) -> HttpResponse:
    """Health, freshness and sums of one pool, its map and its last runs."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    letters = fleet.cells([pool["id"]]).get(pool["id"], "") if pool["devices"] <= fleet.MAP_DEVICES_MAX else ""
    timeline = fleet.timeline([pool["id"]], now)
    recent = sync_runs.page(params={"pool": str(pool["id"])}, cursor=None, limit=6, access=pages.access(request))
    context = {
        "map": charts.cells(letters) if letters else None,
        "track": charts.track(timeline["severities"][pool["id"]], fleet.TIMELINE_BUCKETS),
        "buckets": fleet.TIMELINE_BUCKETS,
        "runs": [pool_view.run_presented(row) for row in recent.rows],
    }
    return tab(request, "pool", pool, context)


@require_safe
@pages.on_platform("pool")
def capacity(request: HttpRequest, reference: str) -> HttpResponse:
    """What the pool can give out, by model and profile."""
    return tab(request, "pool-capacity", pool_view.found(reference, pages.now(), pages.access(request)), {})


@require_safe
@pages.on_platform("node")
def pool_nodes(request: HttpRequest, reference: str) -> HttpResponse:
    """The pool's nodes."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    found = listing.read(
        request,
        node_view.FILTERS_IN_POOL,
        lambda params, cursor: nodes.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, now=now, access=pages.access(request)
        ),
        fixed={"pool": str(pool["id"])},
    )
    return tab(request, "pool-nodes", pool, found.context(node_view.presented))


@require_safe
@pages.on_platform("device")
def pool_devices(request: HttpRequest, reference: str) -> HttpResponse:
    """The pool's devices."""
    now = pages.now()
    pool = pool_view.found(reference, now, pages.access(request))
    found = listing.read(
        request,
        device_view.FILTERS_IN_POOL,
        lambda params, cursor: devices.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, now=now, access=pages.access(request)
        ),
        fixed={"pool": str(pool["id"])},
    )
    return tab(request, "pool-devices", pool, found.context(device_view.presented))


@require_safe
@pages.on_platform("sync_run")
def pool_runs(request: HttpRequest, reference: str) -> HttpResponse:
    """The pool's sync runs, the newest first."""
    pool = pool_view.found(reference, pages.now(), pages.access(request))
    found = listing.read(
        request,
        (
            Filter("state", _("State"), vocabulary="run_state"),
            Filter("trigger", _("Trigger"), vocabulary="run_trigger"),
        ),
        lambda params, cursor: sync_runs.page(
            params=params, cursor=cursor, limit=listing.PAGE_ROWS, access=pages.access(request)
        ),
        fixed={"pool": str(pool["id"])},
    )
    return tab(request, "pool-runs", pool, found.context(pool_view.run_presented))


@require_safe
@pages.on_platform("pool")
def settings(request: HttpRequest, reference: str) -> HttpResponse:
    """How the pool is reached; of secrets only which are set and since when."""
    pool = pool_view.found(reference, pages.now(), pages.access(request))
    manifest = catalog.manifest(pool["kind"])
    context = {
        "settings": [
            {"label": _(each.label), "value": pool["settings"].get(each.name), "name": each.name}
            for each in manifest.settings
            if not each.is_secret
        ],
        "missing": [{"name": name, "reason": _(reason)} for name, reason in manifest.missing.items()],
        "capabilities": manifest.capabilities,
        "has_secrets": any(each.is_secret for each in manifest.settings),
    }
    return tab(request, "pool-settings", pool, context)


def tab(request: HttpRequest, here: str, pool: dict[str, Any], context: dict[str, Any]) -> HttpResponse:
    """Render one of the pool's tabs: templates/pools/tab_<name>.html."""
    access = pages.access(request)
    tabs = [
        {"name": name, "label": label, "is_here": name == here}
        for name, label, noun in _TABS
        if access.everywhere(noun, "read")
    ]
    template = f"pools/tab_{here.removeprefix('pool').removeprefix('-') or 'overview'}.html"
    return pages.page(
        request, template, {"pool": pool, "tabs": tabs, "moves": pool_actions.allowed(pool), **context}, here="pools"
    )

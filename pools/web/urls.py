"""Addresses of the console. A pool is addressed by its name (or its id), everything else by its id."""

from django.urls import include, path

from pools.web import (
    add_pool,
    devices,
    models,
    nodes,
    overview,
    pool_actions,
    pools,
    search,
    sync_runs,
    system,
)

_POOL = "pools/<str:reference>/"

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("map/<uuid:pool_id>/<int:number>/", overview.cell, name="cell"),
    path("search/", search.search, name="search"),
    path("", include("pools.web.account_urls")),
    path("add-pool/", add_pool.kinds, name="add-pool"),
    path("add-pool/<slug:kind>/", add_pool.settings, name="add-pool-settings"),
    path("pools/", pools.index, name="pools"),
    path(_POOL, pools.overview, name="pool"),
    path(f"{_POOL}capacity/", pools.capacity, name="pool-capacity"),
    path(f"{_POOL}nodes/", pools.pool_nodes, name="pool-nodes"),
    path(f"{_POOL}devices/", pools.pool_devices, name="pool-devices"),
    path(f"{_POOL}sync-runs/", pools.pool_runs, name="pool-runs"),
    path(f"{_POOL}settings/", pools.settings, name="pool-settings"),
    path(f"{_POOL}check/", add_pool.check, name="pool-check"),
    path(f"{_POOL}check/live/", add_pool.check_live, name="pool-check-live"),
    path(f"{_POOL}preview/", add_pool.preview, name="pool-preview"),
    path(f"{_POOL}preview/<uuid:run_id>/", add_pool.preview_run, name="pool-preview-run"),
    path(f"{_POOL}activate/", add_pool.activate, name="pool-activate"),
    path(f"{_POOL}sync/", pool_actions.sync, name="pool-sync"),
    path(f"{_POOL}edit/", pool_actions.edit, name="pool-edit"),
    path(f"{_POOL}credential/", pool_actions.credential, name="pool-credential"),
    path(f"{_POOL}remove/", pool_actions.remove, name="pool-remove"),
    path(f"{_POOL}<slug:action>/", pool_actions.move, name="pool-move"),
    path("nodes/", nodes.index, name="nodes"),
    path("nodes/<uuid:node_id>/", nodes.node, name="node"),
    path("devices/", devices.index, name="devices"),
    path("devices/<uuid:device_id>/", devices.device, name="device"),
    path("seen-twice/", devices.twins, name="twins"),
    path("sync-runs/", sync_runs.index, name="sync-runs"),
    path("sync-runs/<uuid:run_id>/", sync_runs.run, name="sync-run"),
    path("sync-runs/<uuid:run_id>/live/", sync_runs.live, name="sync-run-live"),
    path("sync-runs/<uuid:run_id>/approve/", sync_runs.approve, name="sync-run-approve"),
    path("sync-runs/<uuid:run_id>/reject/", sync_runs.reject, name="sync-run-reject"),
    path("models/", models.index, name="models"),
    path("models/<str:slug>/", models.model, name="model"),
    path("system/", system.system, name="system"),
]

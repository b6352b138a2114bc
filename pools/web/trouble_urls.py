"""Addresses of what is done on platforms, and of what is not as it should be there."""

from django.urls import path

from pools.web import drift, operations, orphans

urlpatterns = [
    path("operations/", operations.index, name="operations"),
    path("drift/", drift.index, name="drift"),
    path("drift/<uuid:drift_id>/repair/", drift.repair, name="drift-repair"),
    path("drift/<uuid:drift_id>/adopt/", drift.adopt, name="drift-adopt"),
    path("drift/<uuid:drift_id>/ignore/", drift.ignore, name="drift-ignore"),
    path("orphans/", orphans.index, name="orphans"),
    path("orphans/<uuid:orphan_id>/adopt/", orphans.adopt, name="orphan-adopt"),
    path("orphans/<uuid:orphan_id>/reap/", orphans.reap, name="orphan-reap"),
]

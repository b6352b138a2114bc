"""Addresses of what is not as it should be on platforms."""

from django.urls import path

from pools.web import drift, orphans

urlpatterns = [
    path("drift/", drift.index, name="drift"),
    path("drift/<uuid:drift_id>/repair/", drift.repair, name="drift-repair"),
    path("drift/<uuid:drift_id>/adopt/", drift.adopt, name="drift-adopt"),
    path("drift/<uuid:drift_id>/ignore/", drift.ignore, name="drift-ignore"),
    path("orphans/", orphans.index, name="orphans"),
    path("orphans/<uuid:orphan_id>/adopt/", orphans.adopt, name="orphan-adopt"),
    path("orphans/<uuid:orphan_id>/reap/", orphans.reap, name="orphan-reap"),
]

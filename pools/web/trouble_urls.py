"""Addresses of what is not as it should be on platforms."""

from django.urls import path

from pools.web import orphans

urlpatterns = [
    path("orphans/", orphans.index, name="orphans"),
    path("orphans/<uuid:orphan_id>/adopt/", orphans.adopt, name="orphan-adopt"),
    path("orphans/<uuid:orphan_id>/reap/", orphans.reap, name="orphan-reap"),
]

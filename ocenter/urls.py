"""Addresses: probes, the REST API, the console."""

from django.urls import include, path

from ocenter import probes

urlpatterns = [
    path("api/v1/", include("pools.api.urls")),  # first, for they are looked through in this order
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", probes.metrics, name="metrics"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/", include("pools.api.docs")),
    path("", include("pools.web.urls")),
]

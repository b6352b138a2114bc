"""Addresses: probes, the REST API, the console."""

from importlib.util import find_spec

from django.urls import include, path

from ocenter import probes

urlpatterns = [
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", probes.metrics, name="metrics"),
    path("i18n/", include("django.conf.urls.i18n")),
]
if find_spec("pools.api.urls"):
    urlpatterns += [path("api/v1/", include("pools.api.urls")), path("api/", include("pools.api.docs"))]
if find_spec("pools.web.urls"):
    urlpatterns.append(path("", include("pools.web.urls")))

"""Addresses under /api/: the OpenAPI description, and Swagger UI served from here."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated

from pools.api import auth


class Description(SpectacularAPIView):
    """OpenAPI 3.1 as YAML, or as JSON for who accepts application/json."""

    authentication_classes = [auth.Bearer, auth.Session]
    permission_classes = [IsAuthenticated]


class Swagger(SpectacularSwaggerSplitView):
    """Swagger UI, by files of our own only."""

    template_name = "api/swagger.html"
    authentication_classes = [auth.Session]
    permission_classes = [IsAuthenticated]


urlpatterns = [
    path("schema/", Description.as_view(), name="schema"),
    path("docs/", Swagger.as_view(url_name="schema"), name="api-docs"),
]

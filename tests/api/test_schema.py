"""The API's description: complete, true to the code, and changed only on purpose."""

import re
from pathlib import Path

import pytest
import yaml
from django.test import Client
from django.urls.resolvers import RoutePattern

from pools.api import urls

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


@pytest.fixture
def described(admin):
    client = Client()
    client.force_login(admin)
    answer = client.get("/api/schema/")
    assert answer.status_code == 200
    return answer.content.decode()


class TestTheDescription:
    def test_is_the_committed_one(self, described):
        assert COMMITTED.read_text() == described, (
            "The API changed. If that was meant: python manage.py spectacular --file docs/openapi.yaml"
        )

    def test_has_every_address(self, described):
        paths = yaml.safe_load(described)["paths"]

        patterns = [str(pattern.pattern) for pattern in urls.urlpatterns if isinstance(pattern.pattern, RoutePattern)]
        routes = {re.sub(r"<(?:str|path):(\w+)>", r"{\1}", pattern) for pattern in patterns}
        assert {path.removeprefix("/api/v1/") for path in paths} == routes

    def test_speaks_openapi_3_1_and_points_at_nothing_that_is_not_there(self, described):
        document = yaml.safe_load(described)

        schemas = document["components"]["schemas"]
        pointed = set(re.findall(r"#/components/schemas/(\w+)", described))
        assert document["openapi"].startswith("3.1") and pointed <= schemas.keys()
        assert not [name for name in schemas if name.endswith("Row")]

    def test_names_the_problems_of_every_operation(self, described):
        for path, operations in yaml.safe_load(described)["paths"].items():
            for method, operation in operations.items():
                assert {"401", "403", "500"} <= operation["responses"].keys(), (method, path)

    @pytest.mark.parametrize(
        ("name", "field"),
        [("TokenMade", "token"), ("InvitationMade", "link"), ("UserMade", "link"), ("ResetLink", "link")],
    )
    def test_allows_null_for_a_secret_that_no_copy_of_an_answer_has(self, described, name, field):
        described_field = yaml.safe_load(described)["components"]["schemas"][name]["properties"][field]

        assert {"type": "null"} in described_field["anyOf"]

    @pytest.mark.parametrize(
        "path", ["/api/v1/kinds", "/api/v1/roles", "/api/v1/me/sessions", "/api/v1/projects/{project}/quotas"]
    )
    def test_has_no_pages_for_a_list_that_is_always_whole(self, described, path):
        parameters = yaml.safe_load(described)["paths"][path]["get"].get("parameters", [])

        assert not {"limit", "cursor"} & {each.get("name") for each in parameters}


class TestSwagger:
    def test_is_served_from_here_and_keeps_the_consoles_policy(self, admin):
        client = Client()
        client.force_login(admin)

        page = client.get("/api/docs/")

        html = page.content.decode()
        assert page.status_code == 200 and "swagger-ui-bundle.js" in html
        assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
        assert not re.search(r"<script>|<style>|style=", html)
        assert b"SwaggerUIBundle" in client.get("/api/docs/?script").content

"""What another site can make a logged-in browser do: nothing, at any address."""

import json

import pytest
from django.conf import settings
from django.test import Client

from pools.models import AuditEvent
from tests.security import urls

pytestmark = pytest.mark.django_db
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
FORM = "application/x-www-form-urlencoded"


def changes():
    """How many changes the audit knows; that somebody read it stands there too."""
    return AuditEvent.objects.exclude(action="audit.exported").count()


@pytest.fixture
def victim(admin):
    """The administrator's browser, in which another site's page asks: with cookies, and without our token."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(admin)
    return client


class TestAForgedRequest:
    @pytest.mark.parametrize("method", UNSAFE)
    def test_is_refused_at_every_address_of_the_console(self, victim, method):
        refused = {
            address.route: victim.generic(method, address.path(), b"a=1", content_type=FORM).status_code
            for address in urls.console()
        }

        assert len(refused) > 40
        assert {route: status for route, status in refused.items() if status not in (403, 405)} == {}

    @pytest.mark.parametrize("method", UNSAFE)
    def test_is_refused_at_every_address_of_the_api(self, victim, method):
        for address in urls.api():
            answer = victim.generic(method, address.path(), b"{}", content_type="application/json")

            assert answer.status_code in (403, 405), address.route
            assert answer.status_code == 405 or json.loads(answer.content)["status"] == 403

    def test_changes_nothing(self, victim, fleet):
        before = AuditEvent.objects.count()

        for address in urls.every():
            victim.generic("POST", address.path(), b"a=1", content_type=FORM)

        assert AuditEvent.objects.count() == before

    @pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://testserver.elsewhere.example"])
    def test_of_another_origin_is_refused_even_with_the_token(self, admin, origin):
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin)
        client.get("/add-pool/simulated/")
        token = client.cookies[settings.CSRF_COOKIE_NAME].value

        ours = client.post("/preferences/", {"csrfmiddlewaretoken": token, "theme": "dark"})
        theirs = client.post("/preferences/", {"csrfmiddlewaretoken": token, "theme": "dark"}, HTTP_ORIGIN=origin)

        assert ours.status_code == 302 and theirs.status_code == 403

    def test_by_a_link_or_a_picture_changes_nothing(self, console, fleet):
        before = changes()

        for address in urls.every():
            for path in (
                address.path({"reference": "lab"}),
                address.path({"reference": "lab"}) + "?confirm=1&force=lab",
            ):
                Client.get(console, path) if "<" not in path else None

        assert changes() == before

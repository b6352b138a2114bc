"""The link of an invitation: taken up with a new account or with the one that has the address, once."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from pools.models import Invitation, RoleBinding, User
from pools.services import invitations
from tests import factories
from tests.factories import ALICE
from tests.web.reading import read
from tests.web.test_projects import logged_in

pytestmark = pytest.mark.django_db
FORM = {"username": "eve", "display_name": "Eve", "password": "correct horse battery"}


@pytest.fixture
def link(db):
    """The address of an invitation of eve@example.org to acme as an owner."""
    project = factories.project("acme")
    _, secret = invitations.invite(
        project_id=project.pk, email="eve@example.org", role="owner", actor=ALICE, now=timezone.now()
    )
    return f"/invitation/{secret}/"


class TestAStranger:
    def test_is_told_what_it_is(self, link):
        response = Client().get(link)

        page = response.content.decode()
        assert "alice" in page and "acme" in page and "eve@example.org" in page and "owner" in page
        assert read(link, response.content).refused == []

    def test_makes_an_account_and_logs_in(self, link):
        client = Client()

        made = client.post(link, FORM)
        client.post("/login/", {"username": "eve", "password": FORM["password"]})

        assert made.headers["Location"] == "/login/"
        assert RoleBinding.objects.get(user__username="eve").role == "owner"
        assert client.get("/projects/acme/").status_code == 200

    @pytest.mark.parametrize(("name", "value"), [("username", "no name"), ("username", ""), ("password", "short")])
    def test_is_told_what_is_wrong_at_the_field(self, link, name, value):
        response = Client().post(link, FORM | {name: value})

        page = response.content.decode()
        assert response.status_code == 422 and f'href="#{name}"' in page
        assert FORM["password"] not in page and not User.objects.filter(username="eve").exists()

    def test_cannot_use_it_twice(self, link):
        Client().post(link, FORM)

        again = Client().post(link, FORM | {"username": "mallory"})

        assert again.status_code == 410 and "not valid" in again.content.decode()
        assert not User.objects.filter(username="mallory").exists()

    def test_finds_nothing_behind_a_made_up_link(self, db):
        response = Client().get("/invitation/made-up/")

        assert response.status_code == 404 and "not valid" in response.content.decode()

    def test_is_too_late_after_a_week(self, link):
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert Client().get(link).status_code == 410


class TestSomebodyWithAnAccount:
    def test_is_to_log_in_first(self, link):
        factories.person("eve", email="eve@example.org")

        page = Client().get(link).content.decode()
        refused = Client().post(link, FORM | {"username": "other"})

        assert "Log in with it" in page and 'name="password"' not in page
        assert refused.status_code == 200 and not User.objects.filter(username="other").exists()

    def test_takes_it_up(self, link):
        eve = factories.person("eve", email="Eve@example.org")

        response = logged_in(eve).post(link)

        assert response.headers["Location"] == "/projects/acme/"
        assert RoleBinding.objects.get(user=eve).role == "owner"

    def test_takes_up_none_of_somebody_else(self, link):
        client = logged_in(factories.person("mallory", email="mallory@example.org"))

        page = client.get(link).content.decode()
        response = client.post(link)

        assert "this invitation is for eve@example.org" in page
        assert response.status_code == 422 and not RoleBinding.objects.filter(user__username="mallory").exists()


class TestTheSecret:
    def test_leaves_no_trace_in_logs_and_referrers(self, link, caplog):
        secret = link.split("/")[2]
        caplog.set_level("DEBUG")

        responses = [Client().get(link), Client().post(link, FORM | {"password": "short"}), Client().post(link, FORM)]

        assert "/invitation/***" in caplog.text and secret not in caplog.text
        assert {response.headers["Referrer-Policy"] for response in responses} == {"strict-origin"}
        assert all("no-store" in response.headers["Cache-Control"] for response in responses)

    def test_is_in_no_address_that_the_page_leads_to(self, link):
        secret = link.split("/")[2]

        links = read(link, Client().get(link).content).links

        assert not any(secret in each for each in links)

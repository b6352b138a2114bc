"""Tokens in the console: made, shown once, rotated, revoked."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from pools.models import ApiToken
from pools.services import partitions
from tests import factories
from tests.web.test_projects import logged_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(db):
    partitions.ensure(now=timezone.now())
    ada = factories.person("ada")
    factories.project("acme", manager=ada)
    return ada


def shown(response):
    return re.search(r"oc_[0-9a-f]{8}_[0-9a-f]{72}", response.content.decode())[0]


def asks(token, address="/api/v1/models"):
    return Client().get(address, headers={"Authorization": f"Bearer {token}"}).status_code


class TestANewToken:
    def test_works_and_is_shown_once(self, ada):
        client = logged_in(ada)

        made = client.post("/tokens/new/", {"name": "laptop", "days": "7", "verbs": ["read"]})
        token = shown(made)
        listed = client.get("/tokens/").content.decode()

        assert (
            made.status_code == 201 and "no-store" in made.headers["Cache-Control"] and "curl" in made.content.decode()
        )
        assert asks(token) == 200
        assert "laptop" in listed and "only read" in listed and token not in listed

    def test_may_do_no_more_than_was_ticked(self, ada):
        form = {"name": "narrow", "verbs": ["read"], "nouns": ["project"], "projects": "acme"}

        token = shown(logged_in(ada).post("/tokens/new/", form))

        assert asks(token) == 403
        assert "only in acme" in logged_in(ada).get("/tokens/").content.decode()

    def test_ends_when_it_was_said(self, ada):
        logged_in(ada).post("/tokens/new/", {"name": "short", "days": "1"})

        left = ApiToken.objects.get().expires_at - timezone.now()
        assert timedelta(hours=23) < left <= timedelta(days=1)

    def test_lasts_no_longer_than_is_allowed(self, ada, settings):
        settings.TOKEN_DAYS_MOST = 90
        client = logged_in(ada)

        page = client.get("/tokens/new/").content.decode()
        response = client.post("/tokens/new/", {"name": "long", "days": "365"})

        assert "as long as is allowed: 90 days" in page and 'value="365"' not in page
        assert response.status_code == 422 and "longer than is allowed" in response.content.decode()

    @pytest.mark.parametrize(
        ("form", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "x", "projects": "acne"}, "projects"),
            ({"name": "x", "pools": "nobody"}, "pools"),
        ],
    )
    def test_is_refused_at_the_field(self, ada, form, field):
        response = logged_in(ada).post("/tokens/new/", form)

        page = response.content.decode()
        assert response.status_code == 422 and f'href="#{field}"' in page and 'aria-invalid="true"' in page
        assert not ApiToken.objects.exists()

    def test_keeps_what_was_ticked_when_something_else_is_wrong(self, ada):
        form = {"name": "", "verbs": ["edit"], "nouns": ["member"], "days": "90"}

        page = logged_in(ada).post("/tokens/new/", form).content.decode()

        assert page.count(" checked") == 2 and '<option value="90" selected>' in page

    @pytest.mark.parametrize("days", ["0", "-1", "x", "9" * 9])
    def test_needs_days_that_are_to_come(self, ada, days):
        assert logged_in(ada).post("/tokens/new/", {"name": "x", "days": days}).status_code == 422


class TestRotation:
    def test_gives_a_successor_and_lets_the_old_one_go_on(self, ada):
        client = logged_in(ada)
        old = shown(client.post("/tokens/new/", {"name": "ci", "days": "30"}))
        address = f"/tokens/{ApiToken.objects.get().pk}/rotate/"

        new = shown(client.post(address, {"overlap_seconds": "3600"}))
        again = client.post(address, {"overlap_seconds": "3600"})

        assert asks(old) == asks(new) == 200
        assert again.status_code == 422 and "rotated already" in again.content.decode()

    def test_may_end_the_old_one_at_once(self, ada):
        client = logged_in(ada)
        old = shown(client.post("/tokens/new/", {"name": "ci", "days": "30"}))

        new = shown(client.post(f"/tokens/{ApiToken.objects.get().pk}/rotate/", {"overlap_seconds": "0"}))

        assert (asks(old), asks(new)) == (401, 200)

    @pytest.mark.parametrize("overlap", ["", "x", "-1", "99999999"])
    def test_needs_an_overlap(self, ada, overlap):
        client = logged_in(ada)
        client.post("/tokens/new/", {"name": "ci"})

        response = client.post(f"/tokens/{ApiToken.objects.get().pk}/rotate/", {"overlap_seconds": overlap})

        assert response.status_code == 422 and "At most seven days" in response.content.decode()


class TestRevocation:
    def test_is_told_before_and_holds_at_once(self, ada):
        client = logged_in(ada)
        token = shown(client.post("/tokens/new/", {"name": "ci"}))
        address = f"/tokens/{ApiToken.objects.get().pk}/revoke/"

        page = client.get(address).content.decode()
        client.post(address)

        assert "is refused everywhere" in page and asks(token) == 401

    def test_of_others_is_for_administrators(self, ada, console):
        logged_in(ada).post("/tokens/new/", {"name": "hers"})
        token = ApiToken.objects.get()
        stranger = factories.person("eve")
        factories.project("acme", viewer=stranger)

        theirs = logged_in(stranger).post(f"/tokens/{token.pk}/revoke/").status_code
        listed = console.get("/tokens/", {"user": "ada"}).content.decode()
        console.post(f"/tokens/{token.pk}/revoke/")

        token.refresh_from_db()
        assert theirs == 404 and "hers" in listed and "/rotate/" not in listed and token.revoked_at is not None

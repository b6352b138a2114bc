"""Who may use the API, and how a write is tied to a person and a request."""

import pytest
from django.test import Client
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.domain.errors import UserMissing
from pools.models import ApiToken, AuditEvent
from pools.services import tokens
from tests import factories
from tests.api.conftest import Api
from tests.factories import pool


class TestTokens:
    def test_open_the_api(self, api):
        assert api.get("/pools").status_code == 200

    def test_are_stored_as_a_hash_only(self, token):
        row = ApiToken.objects.get()

        assert token.encode() not in bytes(row.hash) and token.startswith(f"oc_{row.prefix}_")
        assert token not in str(list(AuditEvent.objects.values()))

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda token: token[:-1],
            lambda token: token[:20] + ("0" if token[20] != "0" else "1") + token[21:],
            lambda token: "oc_" + "0" * 81,
            lambda token: "é" * len(token),
            lambda token: "",
        ],
    )
    def test_that_are_wrong_are_401_and_say_how_to_log_in(self, token, spoil):
        answer = Api(spoil(token).encode("latin-1", "replace").decode("latin-1") or "x").get("/pools")

        assert (answer.status_code, answer.data["code"]) == (401, "auth.invalid_token")
        assert answer["WWW-Authenticate"] == 'Bearer realm="ocenter"'

    def test_in_the_address_are_no_tokens(self, anonymous, token):
        assert anonymous.get(f"/pools?token={token}").status_code == 401

    def test_end_with_revocation_expiry_and_the_user(self, api, admin):
        for column in ("revoked_at", "expires_at"):
            ApiToken.objects.update(**{column: timezone.now()})
            assert api.get("/pools").status_code == 401
            ApiToken.objects.update(**{column: None})
        admin.is_active = False
        admin.save()
        assert api.get("/pools").status_code == 401

    def test_note_their_use_once_a_minute_and_not_more(self, api, django_assert_num_queries):
        api.get("/kinds")

        with django_assert_num_queries(0):
            api.get("/kinds")

        assert ApiToken.objects.get().last_used_at is not None

    def test_are_made_for_people_that_there_are(self, db):
        with pytest.raises(UserMissing):
            tokens.make(username="nobody", name="x", actor=SYSTEM, now=timezone.now())


class TestPeople:
    def test_who_are_nobody_get_401_as_a_problem(self, anonymous):
        answer = anonymous.get("/pools")

        assert (answer.status_code, answer.data["code"]) == (401, "auth.required")
        assert answer["Content-Type"] == "application/problem+json"

    def test_who_have_no_role_get_403(self, db):
        user = factories.person("mere")
        client = Client()
        client.force_login(user)

        assert client.get("/api/v1/pools").status_code == 403

    def test_with_a_log_in_cookie_need_the_csrf_token_to_write(self, admin):
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin)

        refused = client.post("/api/v1/pools", {}, content_type="application/json")
        client.cookies["ocenter_csrf"] = "a" * 32
        allowed = client.post("/api/v1/pools", {}, content_type="application/json", headers={"X-CSRFToken": "a" * 32})

        assert (refused.status_code, refused.json()["code"]) == (403, "auth.csrf")
        form = client.post("/api/v1/pools", {"a": "b"}, headers={"X-CSRFToken": "a" * 32})
        assert (allowed.status_code, form.status_code) == (422, 415)
        assert client.get("/api/v1/pools").status_code == 200


class TestAWrite:
    def test_is_recorded_with_actor_and_the_requests_id_in_the_log(self, api):
        pool("lab")

        answer = api.post("/pools/lab/pause", headers={"X-Request-ID": "mine"})

        row = AuditEvent.objects.get(action="pool.paused")
        assert (row.actor, row.request_id) == ("root", answer["X-Request-ID"])
        assert row.request_id not in ("", "mine")

"""/tokens, as programs use it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.models import ApiToken, AuditEvent, IdempotencyKey, User
from pools.services import tokens
from tests.api.conftest import Api
from tests.factories import person, project

pytestmark = pytest.mark.django_db
NOBODYS = "01900000-0000-7000-8000-000000000000"


def api_of(user, **options):
    return Api(tokens.make(username=user.username, name="tests", actor=SYSTEM, now=timezone.now(), **options))


@pytest.fixture
def ann():
    return person("ann")


@pytest.fixture
def bot():
    return person("bot", kind="service", project=project("acme/vision"))


class TestMaking:
    def test_shows_the_secret_once(self, ann):
        made = api_of(ann).post("/tokens", {"name": "ci", "scope": {"verbs": ["read"], "nouns": ["me"]}})

        assert made.status_code == 201 and made.data["token"].startswith(f"oc_{made.data['prefix']}_")
        shown = Api(made.data["token"]).get(made["Location"])
        assert shown.status_code == 200 and "token" not in shown.data
        assert shown.data["scope"] == {"verbs": ["read"], "nouns": ["me"], "projects": None, "pools": None}
        assert (shown.data["user"], shown.data["user_kind"], shown.data["state"]) == ("ann", "person", "active")

    def test_keeps_the_secret_out_of_database_and_audit(self, ann):
        made = api_of(ann).post("/tokens", {"name": "ci"}, headers={"Idempotency-Key": "k", "X-Reason": "for CI"})

        secret = made.data["token"].encode()
        with connection.cursor() as cursor:
            for table in ("api_token", "idempotency_key", "audit_event"):
                cursor.execute(f"SELECT t::text FROM {table} t")
                text = "".join(row[0] for row in cursor.fetchall()).encode()
                assert secret not in text and secret.hex().encode() not in text, table

    def test_again_with_the_same_key_shows_no_secret(self, ann):
        api, headers = api_of(ann), {"Idempotency-Key": "k"}
        first = api.post("/tokens", {"name": "ci"}, headers=headers)

        again = api.post("/tokens", {"name": "ci"}, headers=headers)

        assert again.status_code == 201 and again["Idempotency-Replayed"] == "true"
        assert again.data == first.data | {"token": None} and again["Location"] == first["Location"]
        assert ApiToken.objects.filter(name="ci").count() == 1

    def test_as_a_dry_run_shows_no_secret_and_makes_none(self, ann):
        tried = api_of(ann).post("/tokens?dry_run=1", {"name": "ci"})

        assert (tried.status_code, tried["Dry-Run"], tried.data["token"]) == (201, "true", None)
        assert not ApiToken.objects.filter(name="ci").exists()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "name"),
            ({"name": ""}, "name"),
            ({"name": "x", "scope": {"verbs": ["raed"]}}, "scope.verbs"),
            ({"name": "x", "scope": {"verb": ["read"]}}, "scope"),
            ({"name": "x", "scope": {"projects": ["umbrella"]}}, "scope.projects"),
            ({"name": "x", "scope": {"pools": []}}, "scope.pools"),
            ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
            ({"name": "x", "service_account": "nobody"}, "service_account"),
            ({"name": "x", "user": "root"}, "user"),
            ({"name": "x", "hash": "00", "id": NOBODYS}, "hash"),
        ],
    )
    def test_names_what_is_wrong(self, ann, body, field):
        answer = api_of(ann).post("/tokens", body)

        assert answer.status_code == 422 and answer.data["errors"][0]["field"] == field

    def test_for_a_service_account_is_for_who_may_edit_it(self, ann, bot):
        project("acme/vision", manager=ann)

        made = api_of(ann).post("/tokens", {"name": "ci", "service_account": "bot"})

        assert (made.status_code, made.data["user"], made.data["user_kind"]) == (201, "bot", "service")

    def test_for_a_service_account_that_one_only_knows_is_forbidden(self, ann, bot):
        project("acme", viewer=ann)

        assert api_of(ann).post("/tokens", {"name": "ci", "service_account": str(bot.pk)}).status_code == 403

    def test_for_a_service_account_that_is_switched_off_says_so(self, ann, bot):
        project("acme", owner=ann)
        User.objects.filter(pk=bot.pk).update(is_active=False)

        refused = api_of(ann).post("/tokens", {"name": "ci", "service_account": "bot"})

        assert refused.status_code == 422
        assert (refused.data["errors"][0]["field"], refused.data["errors"][0]["code"]) == (
            "service_account",
            "inactive",
        )

    def test_for_a_service_account_of_others_looks_as_for_none(self, ann, bot):
        project("umbrella", owner=ann)

        theirs, none = (
            api_of(ann).post("/tokens", {"name": "ci", "service_account": name}) for name in ("bot", "absent")
        )

        assert theirs.status_code == 422 and theirs.data["errors"] == none.data["errors"]


class TestListing:
    def test_shows_ones_own_the_newest_first_in_one_query(self, ann):
        api = api_of(ann)
        for name in ("one", "two"):
            tokens.make(username="ann", name=name, actor=SYSTEM, now=timezone.now())
        tokens.make(username=person("bob").username, name="his", actor=SYSTEM, now=timezone.now())
        api.get("/tokens")

        with CaptureQueriesContext(connection) as queries:
            listed = api.get("/tokens")

        assert [row["name"] for row in listed.data["results"]] == ["two", "one", "tests"] and len(queries) == 1
        assert not any("hash" in row or "token" in row for row in listed.data["results"])

    def test_shows_those_of_others_to_administrator_and_auditor_only(self, ann):
        tokens.make(username="ann", name="hers", actor=SYSTEM, now=timezone.now())
        seen = {}

        for role in ("admin", "auditor", "operator", "finance"):
            listed = api_of(person(f"{role}-1", role)).get("/tokens?user=ann")
            seen[role] = [row["name"] for row in listed.data["results"]]

        assert seen == {"admin": ["hers"], "auditor": ["hers"], "operator": [], "finance": []}

    def test_shows_those_of_a_service_account_to_its_project(self, ann, bot):
        tokens.make(username="bot", name="ci", actor=SYSTEM, now=timezone.now())
        project("acme", viewer=ann)
        foreigner = person("eve")
        project("umbrella", owner=foreigner)

        own, foreign = (api_of(user).get("/tokens?service_account=bot") for user in (ann, foreigner))

        assert [row["name"] for row in own.data["results"]] == ["ci"] and foreign.data["results"] == []

    def test_tells_the_states_apart(self, ann):
        now = timezone.now()
        api = api_of(ann)
        tokens.make(username="ann", name="old", actor=SYSTEM, now=now - timedelta(days=2), expires_at=now)
        tokens.make(username="ann", name="gone", actor=SYSTEM, now=now)
        tokens.revoke_named(username="ann", name="gone", actor=SYSTEM, now=now)

        by_state = {
            state: [row["name"] for row in api.get(f"/tokens?state={state}").data["results"]]
            for state in ("active", "expired", "revoked")
        }

        assert by_state == {"active": ["tests"], "expired": ["old"], "revoked": ["gone"]}

    def test_goes_on_over_pages(self, ann):
        api = api_of(ann)
        for name in ("one", "two"):
            tokens.make(username="ann", name=name, actor=SYSTEM, now=timezone.now())

        first = api.get("/tokens?limit=2&state=active")

        assert [row["name"] for row in api.get(first.data["next"]).data["results"]] == ["tests"]


class TestOneToken:
    def test_of_somebody_else_looks_like_none(self, ann):
        api = api_of(ann)
        tokens.make(username=person("bob").username, name="his", actor=SYSTEM, now=timezone.now())
        his = ApiToken.objects.get(name="his").pk

        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
            answers = [api(method, f"/tokens/{token}{path}") for token in (his, NOBODYS, "x")]
            assert [answer.status_code for answer in answers] == [404, 404, 404]
            assert len({answer.data["detail"] for answer in answers}) == 1
        assert ApiToken.objects.get(pk=his).revoked_at is None

    def test_revokes_itself(self, ann):
        api = api_of(ann)

        gone = api("DELETE", f"/tokens/{ApiToken.objects.get(user=ann).pk}", headers={"X-Reason": "it leaked"})

        assert gone.status_code == 204 and api.get("/tokens").status_code == 401
        event = AuditEvent.objects.filter(action="token.revoked", actor_id=ann.pk).get()
        assert (event.reason, event.token_prefix) == ("it leaked", ApiToken.objects.get(user=ann).prefix)

    def test_of_anybody_is_revoked_and_not_rotated_by_an_administrator(self, api, ann):
        token = tokens.make(username="ann", name="hers", actor=SYSTEM, now=timezone.now())
        address = f"/tokens/{ApiToken.objects.get(name='hers').pk}"

        assert api.post(f"{address}/rotate").status_code == 403
        assert api("DELETE", address).status_code == 204 and Api(token).get("/tokens").status_code == 401


class TestRotating:
    def test_gives_a_new_secret_while_the_old_one_goes_on(self, ann):
        old = api_of(ann)
        old_id = ApiToken.objects.get(user=ann).pk

        made = old.post(f"/tokens/{old_id}/rotate", {"overlap_seconds": 600})

        assert made.status_code == 201 and made.data["name"] == "tests"
        assert Api(made.data["token"]).get("/tokens").status_code == 200 == old.get("/tokens").status_code
        assert old.get(f"/tokens/{old_id}").data["rotated_to"] == made.data["id"]
        assert old.post(f"/tokens/{old_id}/rotate").data["code"] == "token.ended"

    def test_without_overlap_ends_the_old_one(self, ann):
        old = api_of(ann)

        old.post(f"/tokens/{ApiToken.objects.get(user=ann).pk}/rotate", {"overlap_seconds": 0})

        assert old.get("/tokens").status_code == 401

    def test_tells_how_long_an_overlap_may_be(self, ann):
        answer = api_of(ann).post(f"/tokens/{ApiToken.objects.get(user=ann).pk}/rotate", {"overlap_seconds": 604801})

        assert answer.status_code == 422 and answer.data["errors"][0]["field"] == "overlap_seconds"


class TestAScopedToken:
    def test_that_may_only_read_makes_and_revokes_none(self, ann):
        api = api_of(ann)
        reader = Api(api.post("/tokens", {"name": "reader", "scope": {"verbs": ["read"]}}).data["token"])

        assert reader.get("/tokens").status_code == 200
        assert reader.post("/tokens", {"name": "x"}).status_code == 403
        assert reader("DELETE", f"/tokens/{ApiToken.objects.get(name='reader').pk}").status_code == 403

    def test_makes_none_that_is_wider(self, ann):
        api = api_of(ann)
        narrow = Api(api.post("/tokens", {"name": "n", "scope": {"verbs": ["read", "create"]}}).data["token"])

        answer = narrow.post("/tokens", {"name": "wide"})

        assert answer.status_code == 422 and answer.data["errors"][0]["code"] == "too_wide"

    def test_gets_no_answer_that_a_wider_one_was_given(self, ann):
        """Keys are of the user, and an answer may show what a narrower token may not see."""
        api, headers = api_of(ann), {"Idempotency-Key": "k"}
        narrow = Api(api.post("/tokens", {"name": "n", "scope": {"verbs": ["read", "create"]}}).data["token"])
        api.post("/tokens", {"name": "wide"}, headers=headers)

        answer = narrow.post("/tokens", {"name": "wide"}, headers=headers)

        assert (answer.status_code, answer.data["code"]) == (422, "idempotency.key_reused")
        assert IdempotencyKey.objects.filter(user=ann).count() == 1

"""What all operations share: limits, sizes, fields, reasons, deprecation."""

import itertools
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import redis
from django.test import RequestFactory
from django.urls import path
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.response import Response

from pools.api import base, limits, schema
from pools.domain import roles
from pools.domain.actors import SYSTEM
from pools.models import AuditEvent, Pool
from pools.services import tokens
from tests.api.conftest import Api
from tests.factories import granted, person, pool, project

pytestmark = pytest.mark.django_db
_MINUTES = itertools.count(30_000_000)
LIMITS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def registered(api, name, **headers):
    body = {"name": name, "kind": "simulated", "credential": {"token": "any"}}
    return api.post("/pools", body, headers=headers)


@pytest.fixture
def limited(settings, monkeypatch):
    """A limit of three a minute, and a minute of its own for each test that does not end in the middle of it."""
    settings.API_REQUESTS_PER_MINUTE = 3
    now = 60.0 * next(_MINUTES) + 15
    monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: now, monotonic=time.monotonic))
    return settings


class TestTheLimit:
    def test_is_told_in_every_answer(self, api, limited):
        answers = [api.get("/pools"), registered(api, "lab", **{"X-Reason": "a\nb"}), api.get("/none")]

        told = [(answer.status_code, *(answer[name] for name in LIMITS)) for answer in answers]
        # Where nothing is nobody is asked who he is, and the address counts.
        assert told == [(200, "3", "2", "45"), (422, "3", "1", "45"), (404, "3", "2", "45")]

    def test_answers_429_until_the_minute_is_over(self, api, limited):
        for _ in range(3):
            assert api.get("/pools").status_code == 200

        over = registered(api, "lab")

        assert (over.status_code, over.data["code"]) == (429, "request.throttled")
        assert (over["Retry-After"], over["RateLimit-Remaining"]) == ("46", "0")
        assert not Pool.objects.exists()

    def test_is_of_each_token(self, api, limited):
        twin = Api(tokens.make(username="root", name="twin", actor=SYSTEM, now=timezone.now()))
        for _ in range(4):
            api.get("/pools")

        assert twin.get("/pools")["RateLimit-Remaining"] == "2"

    def test_is_of_each_user_who_is_logged_in(self, client, admin, limited):
        client.force_login(admin)

        left = [client.get("/api/v1/pools")["RateLimit-Remaining"] for _ in range(2)]

        assert left == ["2", "1"]

    def test_is_of_an_address_for_who_tries_tokens(self, limited):
        guesses = [Api(f"oc_guess_{number}").get("/pools") for number in range(4)]

        assert [answer.status_code for answer in guesses] == [401, 401, 401, 429]
        assert guesses[0]["RateLimit-Remaining"] == "2"

    def test_of_an_address_behind_a_proxy_is_of_whom_the_proxy_names(self, limited):
        limited.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        anonymous = Api(None)
        came_from = {"X-Forwarded-For": "1.2.3.4, 203.0.113.7"}
        for _ in range(4):
            anonymous.get("/pools", headers=came_from)

        assert anonymous.get("/pools", headers=came_from).status_code == 429
        assert anonymous.get("/pools", headers={"X-Forwarded-For": "203.0.113.7, 203.0.113.8"}).status_code == 401

    def test_is_counted_in_one_round_trip_and_forgotten_after_the_minute(self, api, limited, monkeypatch):
        api.get("/pools")
        sent, send = [], redis.connection.AbstractConnection.send_packed_command
        monkeypatch.setattr(
            redis.connection.AbstractConnection,
            "send_packed_command",
            lambda self, command, *more, **options: (sent.append(command), send(self, command, *more, **options))[1],
        )

        api.get("/pools")

        assert len(sent) == 1
        server = redis.Redis.from_url(limited.CACHE_URL)
        (key,) = server.keys(f"ocenter:requests:*:{int(limits.time.time() // 60)}")
        assert server.get(key) == b"2" and 60 < server.ttl(key) <= 120

    def test_counts_a_hundredth_of_the_limit_ahead(self, api, limited):
        limited.API_REQUESTS_PER_MINUTE = 300
        left = [api.get("/pools")["RateLimit-Remaining"] for _ in range(4)]

        assert left == ["299", "298", "297", "296"]
        server = redis.Redis.from_url(limited.CACHE_URL)
        (key,) = server.keys(f"ocenter:requests:*:{int(limits.time.time() // 60)}")
        assert server.get(key) == b"6"

    def test_lets_everybody_through_while_the_cache_is_away_and_says_so_once(self, api, limited, monkeypatch, caplog):
        limited.CACHE_URL = "unix:///nowhere/valkey.sock?db=1"
        counter = limits._Counter()
        monkeypatch.setattr(limits, "_counter", counter)
        monkeypatch.setattr(limits, "_ASKED_AGAIN_AFTER_SECONDS", 0.0)

        answers = [api.get("/pools") for _ in range(5)]

        assert {answer.status_code for answer in answers} == {200} and "RateLimit-Limit" not in answers[0]
        assert sum("requests_not_limited" in record.getMessage() for record in caplog.records) == 1

    def test_can_be_turned_off(self, api, settings):
        settings.API_REQUESTS_PER_MINUTE = 0

        assert "RateLimit-Limit" not in api.get("/pools")


class TestSizes:
    @pytest.mark.parametrize("raw", [b"[" * 200_000, b'{"a":' * 200_000, b'{"labels":' + b"[" * 40 + b"]" * 40 + b"}"])
    def test_what_is_nested_too_deeply_is_malformed(self, api, raw):
        answer = api.post("/pools", raw=raw)

        assert (answer.status_code, answer.data["code"]) == (400, "request.malformed")
        assert answer.data["detail"] == "The body is nested too deeply." or raw.startswith(b"[")

    def test_a_list_has_some_thousand_items_at_most(self, api):
        answer = api.post("/pools", {"name": "x", "kind": "simulated", "labels": [0] * 10_001})

        assert answer.status_code == 422 and answer.data["errors"][0]["code"] == "too_many"

    def test_an_address_has_some_thousand_characters_at_most(self, api):
        answers = [api.get(f"/pools?q={'x' * 9000}"), api.get(f"/pools/{'x' * 9000}")]

        assert [(answer.status_code, answer.data["code"]) for answer in answers] == [
            (414, "request.address_too_long")
        ] * 2

    def test_a_body_is_no_larger_than_a_mebibyte_with_a_key_too(self, api):
        answer = api.post("/pools", raw=b" " * (1024 * 1024 + 1), headers={"Idempotency-Key": "k"})

        assert (answer.status_code, answer.data["code"]) == (413, "request.too_large")


class TestHeaders:
    @pytest.mark.parametrize("name", ["Idempotency-Key", "X-Reason", "If-Match"])
    def test_with_ends_of_lines_are_refused_and_never_answered(self, api, name):
        pool("lab")

        answer = api("PATCH", "/pools/lab", {}, headers={name: "x\r\nSet-Cookie: a=b"})

        assert answer.status_code == 422 and answer.data["errors"][0]["field"] == name
        assert "Set-Cookie" not in answer

    def test_cannot_be_made_by_an_address(self, api):
        answer = api.get("/pools/x%0d%0aSet-Cookie:%20a=b")

        assert answer.status_code == 404 and "Set-Cookie" not in answer


class TestAReason:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("ticket 4711", "ticket 4711"),
            ("UTF-8''%E5%8D%87%E7%BA%A7%20%E2%82%AC", "升级 €"),
            ("utf-8'zh'%E5%8D%87", "升"),
            ("100% sure it's right", "100% sure it's right"),
        ],
    )
    def test_stands_in_the_audit(self, api, sent, kept):
        made = registered(api, "lab", **{"X-Reason": sent})

        assert AuditEvent.objects.get(object_id=made.data["id"]).reason == kept

    @pytest.mark.parametrize(
        "sent", ["升级", "x" * 501, "UTF-8''" + "%E5%8D%87" * 501, "UTF-8''%FF", "UTF-8''a%0Ab", "UTF-8''%E2%80%AE"]
    )
    def test_of_another_form_is_refused_and_nothing_is_done(self, api, sent):
        answer = registered(api, "lab", **{"X-Reason": sent.encode().decode("latin-1")})

        assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, "X-Reason")
        assert not Pool.objects.exists()

    def test_is_empty_when_none_is_given(self, api):
        assert AuditEvent.objects.get(object_id=registered(api, "lab").data["id"]).reason == ""


class TestFields:
    def test_narrow_the_rows_of_a_list(self, api):
        pool("lab")

        listed = api.get("/pools?fields=name,state&fields=id")

        assert [set(row) for row in listed.data["results"]] == [{"id", "name", "state"}] and listed.data["next"] is None

    def test_narrow_one_object_in_its_own_order(self, api):
        pool("lab")

        assert list(api.get("/pools/lab?fields=state,name").data) == ["name", "state"]

    def test_go_on_to_the_next_page(self, api):
        for name in ("one", "two"):
            pool(name)

        following = api.get(api.get("/pools?fields=name&limit=1").data["next"])

        assert following.data["results"] == [{"name": "two"}]

    @pytest.mark.parametrize("address", ["/pools", "/pools/lab", "/nodes", "/devices", "/sync-runs", "/tokens"])
    def test_that_are_unknown_are_named_with_the_nearest(self, api, address):
        pool("lab")

        answer = api.get(f"{address}?fields=idd")

        assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, "fields")
        assert "Is id meant?" in answer.data["errors"][0]["detail"]

    def test_of_what_one_has_already_stay_304(self, api):
        pool("lab")
        tag = api.get("/pools?fields=name")["ETag"]

        assert api.get("/pools?fields=name", headers={"If-None-Match": tag}).status_code == 304

    def test_that_a_project_is_not_told_are_left_out(self, api):
        user = person("ann")
        granted(pool("lab"), project("acme", viewer=user))
        ann = Api(tokens.make(username="ann", name="x", actor=SYSTEM, now=timezone.now()))

        assert ann.get("/pools?fields=name,settings").data["results"] == [{"name": "lab"}]


class Old(base.View):
    """An operation of a test that nobody should use any more."""

    rights = {"GET": (roles.MINE, "read")}

    @schema.operation(
        "old.get",
        "Be old",
        answer=None,
        deprecated_at=datetime(2026, 1, 1, tzinfo=UTC),
        sunset_at=datetime(2027, 1, 1, tzinfo=UTC),
    )
    def get(self, request):
        return Response(None)


class TestWhatIsDeprecated:
    def test_says_since_when_and_until_when(self, token):
        request = RequestFactory().get("/old", headers={"Authorization": f"Bearer {token}"})

        answer = Old.as_view()(request)

        assert answer["Deprecation"] == "@1767225600" and answer["Sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"

    def test_is_marked_in_the_description(self):
        described = SchemaGenerator(patterns=[path("api/v1/old", Old.as_view())]).get_schema(public=True)

        assert described["paths"]["/api/v1/old"]["get"]["deprecated"] is True

    def test_is_nothing_of_ours(self, api):
        paths = SchemaGenerator().get_schema(public=True)["paths"]

        assert not [
            address for address, methods in paths.items() for each in methods.values() if each.get("deprecated")
        ]
        assert "Deprecation" not in api.get("/pools")


class TestTheDescription:
    def test_tells_of_each_operation_what_all_share(self):
        described = SchemaGenerator().get_schema(request=None, public=True)

        for address, methods in described["paths"].items():
            for method, operation in methods.items():
                told = {each.get("$ref", "").rpartition("/")[2] for each in operation["parameters"]}
                shared = {"fields"} if method == "get" else {"idempotency_key", "dry_run", "reason"}
                assert shared <= told and {"422", "429"} <= set(operation["responses"]), f"{method} {address}"
        assert set(described["components"]["parameters"]) == {"fields", "idempotency_key", "dry_run", "reason"}

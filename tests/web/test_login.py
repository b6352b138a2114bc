"""Logging in by name and password: who gets in, what the others are told, and what is noted."""

import time

import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client
from structlog.contextvars import bound_contextvars, get_contextvars

from ocenter import request_log
from pools.models import AuditEvent
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "long-enough-word"
UNFIT = "This name and password do not fit together."
TOO_MANY = "Too many wrong tries."


@pytest.fixture
def ada(db):
    return factories.person("Ada", "admin", password=PASSWORD, email="ada@example.org")


def log_in(client, name, password=PASSWORD, **more):
    return client.post("/login/", {"username": name, "password": password}, **more)


def noted(action, about):
    return list(AuditEvent.objects.filter(action=action, object_id=str(about)).order_by("id"))


class TestLogIn:
    @pytest.mark.parametrize("name", ["Ada", "ada", " ada ", "ada@example.org", "ADA@example.org"])
    def test_takes_the_name_or_the_address_in_any_case(self, client, ada, name):
        response = log_in(client, name)

        assert response.status_code == 302 and client.get("/profile/").status_code == 200

    def test_tells_people_with_one_address_apart_by_the_password(self, client, ada):
        factories.person("bob", password="another-long-word", email="ada@example.org")

        log_in(client, "ada@example.org", "another-long-word")

        assert client.get("/profile/").context["username"] == "bob"

    def test_is_noted_with_who_where_and_how(self, client, ada):
        log_in(client, "ada", HTTP_USER_AGENT="Firefox")

        session = client.session["ocenter_session_id"]
        (row,) = noted("session.began", session)
        assert (row.actor, row.after) == ("Ada", {"method": "password", "address": "127.0.0.1"}) and row.request_id

    def test_gives_the_session_another_key(self, client, ada):
        client.get("/login/")
        client.session["planted"] = "x"
        client.session.save()
        client.cookies[settings.SESSION_COOKIE_NAME] = "k" * 32
        planted = client.cookies[settings.SESSION_COOKIE_NAME].value

        log_in(client, "ada")

        assert client.cookies[settings.SESSION_COOKIE_NAME].value != planted
        stranger = Client()
        stranger.cookies[settings.SESSION_COOKIE_NAME] = planted
        assert stranger.get("/profile/").status_code == 302

    def test_gives_a_session_that_somebody_else_began_another_key(self, ada):
        fixed = Client()
        fixed.get("/oidc/none/login/")
        session = fixed.session
        session["any"] = 1
        session.save()
        fixed.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
        victim = Client()
        victim.cookies[settings.SESSION_COOKIE_NAME] = session.session_key

        log_in(victim, "ada")

        assert victim.get("/profile/").status_code == 200
        assert fixed.get("/profile/").status_code == 302

    @pytest.mark.parametrize(
        "next_url", ["https://localhost/x", "//evil.example", "https://evil.example", "/\\evil.example"]
    )
    def test_never_leads_to_another_site(self, client, ada, next_url):
        response = client.post("/login/", {"username": "ada", "password": PASSWORD, "next": next_url})

        assert response.headers["Location"] == "/"


class TestARefusal:
    def test_is_the_same_for_nobody_and_for_a_wrong_password(self, client, ada):
        pages = [log_in(client, name, "wrong").content.decode() for name in ("ada", "nobody")]

        assert all(UNFIT in page for page in pages)
        assert len({page.replace("ada", "").replace("nobody", "").split("csrf")[0] for page in pages}) == 1

    @pytest.mark.parametrize(
        "fields", [{"is_active": False}, {"kind": "service"}], ids=["switched off", "a service account"]
    )
    def test_meets_the_right_password_of_those_who_may_not(self, client, fields):
        user = factories.person("eve", "admin", password=PASSWORD, **fields)

        page = log_in(client, "eve").content.decode()

        assert UNFIT in page and client.get("/profile/").status_code == 302
        (row,) = noted("session.refused", user.pk)
        assert row.after["because"] == "password" and row.object_name == "eve"

    def test_takes_as_long_for_nobody_as_for_a_wrong_password(self, client, ada, monkeypatch):
        # What a log-in takes is the hash, as it is outside of tests.
        monkeypatch.setattr(Argon2PasswordHasher, "memory_cost", 102_400)
        ada.set_password(PASSWORD)
        ada.save()

        def seconds(name):
            began = time.perf_counter()
            log_in(client, name, "wrong")
            return time.perf_counter() - began

        seconds("nobody")
        somebody, nobody = min(seconds("ada") for _ in range(3)), min(seconds(f"nobody{n}") for n in range(3))

        assert 0.3 < somebody / nobody < 3

    def test_never_keeps_what_was_typed_instead_of_a_name(self, client, ada):
        log_in(client, "my-Secret-passw0rd", "x")

        row = AuditEvent.objects.filter(action="session.refused").latest("id")
        assert row.object_id == row.object_name == "" and "my-Secret" not in str(vars(row))

    def test_says_that_there_is_no_sign_up(self, client):
        assert client.get("/signup/").status_code == 404
        assert client.get("/account/signup/").status_code == 404


class TestTooManyTries:
    def test_of_one_account_are_refused_whichever_of_its_names_they_use(self, client, ada):
        names = ["ada", "Ada", "ada@example.org", "ada", "ada"]
        answers = [log_in(client, name, "wrong").content.decode() for name in names]

        sixth, right = log_in(client, "ada", "wrong").content.decode(), log_in(client, "ada").content.decode()

        assert all(UNFIT in answer for answer in answers)
        assert TOO_MANY in sixth and TOO_MANY in right
        assert [row.after["because"] for row in noted("session.refused", ada.pk)] == ["password"] * 5 + [
            "throttled"
        ] * 2

    def test_are_forgiven_after_five_minutes(self, client, ada, monkeypatch):
        for _ in range(6):
            log_in(client, "ada", "wrong")
        later = time.time() + 301
        monkeypatch.setattr("allauth.core.internal.ratelimit.time.time", lambda: later)

        assert log_in(client, "ada").status_code == 302

    def test_do_not_shut_out_another_account(self, client, ada):
        factories.person("bob", password=PASSWORD)
        for _ in range(6):
            log_in(client, "ada", "wrong")

        assert log_in(client, "bob").status_code == 302

    def test_behind_a_proxy_count_for_whom_the_proxy_names(self, client, ada, settings):
        settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
        for number in range(20):
            log_in(client, f"nobody{number}", "wrong", HTTP_X_FORWARDED_FOR="203.0.113.7")

        same = log_in(client, "ada", HTTP_X_FORWARDED_FOR="203.0.113.7").content.decode()
        other = log_in(client, "ada", HTTP_X_FORWARDED_FOR="203.0.113.7, 198.51.100.9")

        assert TOO_MANY in same and other.status_code == 302

    def test_without_a_proxy_cannot_be_hidden_by_a_header(self, client, ada):
        for number in range(20):
            log_in(client, f"nobody{number}", "wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")

        assert TOO_MANY in log_in(client, "ada").content.decode()

    def test_of_all_kinds_end_in_a_page(self, client, ada):
        answers = {log_in(client, "ada", "wrong").status_code for _ in range(61)}

        assert answers == {200, 429}
        assert "Wait a minute" in log_in(client, "ada").content.decode()


class TestTheLog:
    def test_names_neither_the_key_of_a_link_nor_what_stands_behind_the_question_mark(self, rf):
        for address in ("/account/password/reset/key/0123-s3cret/", "/oidc/sso/login/callback/?code=s3cret"):
            line = request_log.RequestLog.format_request(rf.get(address))

            assert "s3cret" not in line and line.startswith("GET /")

    def test_names_the_caller_as_the_last_proxy_does_where_one_is_trusted(self, rf, settings):
        request = rf.get("/", HTTP_X_FORWARDED_FOR="203.0.113.7, 198.51.100.9", REMOTE_ADDR="192.0.2.1")
        named = []
        for proxy in (None, ("HTTP_X_FORWARDED_PROTO", "https")):
            settings.SECURE_PROXY_SSL_HEADER = proxy
            with bound_contextvars(ip=""):
                request_log.RequestLog.bind_ip(request)
                named.append(get_contextvars()["ip"])

        assert named == ["192.0.2.1", "198.51.100.9"]

"""Where people are logged in, and what ends that: they, a new password, an administrator, being switched off."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.models import AuditEvent, User
from pools.selectors import sessions as known
from pools.services import sessions, tokens
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "long-enough-word"


@pytest.fixture
def ada(db):
    return factories.person("ada", "admin", password=PASSWORD)


@pytest.fixture
def bob(db):
    return factories.person("bob", password=PASSWORD)


def logged_in(name, agent="Firefox"):
    client = Client(HTTP_USER_AGENT=agent)
    client.post("/login/", {"username": name, "password": PASSWORD})
    return client


def is_in(client):
    return client.get("/profile/").status_code == 200


def own_id(client):
    return client.session["ocenter_session_id"]


def ended(user):
    rows = AuditEvent.objects.filter(action="session.ended", object_id=str(user.pk)).order_by("id")
    return [(row.actor, row.after["because"], row.before["sessions"]) for row in rows]


def bearer(user):
    token = tokens.make(username=user.username, name="t", actor=SYSTEM, now=timezone.now())
    token = getattr(token, "token", token)
    return Client(HTTP_AUTHORIZATION=f"Bearer {token}")


class TestOnesOwnSessions:
    def test_are_listed_with_device_address_since_and_last_seen(self, ada):
        client, _other = logged_in("ada"), logged_in("ada", "curl/8")

        page = client.get("/profile/").content.decode()

        assert "Firefox" in page and "curl/8" in page and "127.0.0.1" in page and "this one" in page

    def test_are_told_by_the_api(self, ada):
        client = logged_in("ada")

        (row,) = client.get("/api/v1/me/sessions").json()["results"]

        assert row["id"] == own_id(client) and row["is_current"] and row["user_agent"] == "Firefox"
        assert row["address"] == "127.0.0.1" and row["created_at"] and row["last_seen_at"]

    def test_are_ended_one_by_one(self, ada):
        client, other = logged_in("ada"), logged_in("ada")

        client.post(f"/profile/sessions/{own_id(other)}/end/")

        assert is_in(client) and not is_in(other)
        assert len(ended(ada)) == 1 and ended(ada)[0][1] == "ended"

    def test_are_ended_by_the_api(self, ada):
        client, other = logged_in("ada"), logged_in("ada")

        answer = bearer(ada).delete(f"/api/v1/me/sessions/{own_id(other)}")

        assert answer.status_code == 204 and is_in(client) and not is_in(other)

    def test_end_all_at_once_but_this(self, ada):
        client, others = logged_in("ada"), [logged_in("ada"), logged_in("ada")]

        client.post("/profile/sessions/end/")

        assert is_in(client) and not any(map(is_in, others))
        assert ended(ada)[0][:2] == ("ada", "ended") and len(ended(ada)[0][2]) == 2

    def test_never_include_those_of_others(self, ada, bob):
        client, other = logged_in("ada"), logged_in("bob")

        by_page = client.post(f"/profile/sessions/{own_id(other)}/end/")
        by_api = [bearer(ada).delete(f"/api/v1/me/sessions/{name}") for name in (own_id(other), 10**17, "x", "²")]

        assert by_page.status_code == 302 and is_in(other) and ended(bob) == []
        assert {(each.status_code, each.json()["code"]) for each in by_api} == {(404, "session.not_found")}

    def test_that_were_logged_out_are_gone(self, ada):
        client = logged_in("ada")

        client.post("/logout/")

        assert not is_in(client) and known.of_user(ada.pk, timezone.now()) == []
        assert [because for _, because, _ in ended(ada)] == ["logged_out"]

    def test_that_expired_are_not_listed_and_forgotten(self, ada):
        logged_in("ada")
        later = timezone.now() + timedelta(hours=13)

        listed = known.of_user(ada.pk, later)
        sessions.forget_expired(later)

        assert listed == [] and not known.UserSession.objects.exists() and not known.Session.objects.exists()

    def test_tell_when_they_were_last_seen_within_a_minute(self, ada):
        client = logged_in("ada")
        began_at = known.of_user(ada.pk, timezone.now())[0].last_seen_at

        with time_machine.travel(began_at + timedelta(minutes=5), tick=False):
            client.get("/profile/")
            (row,) = known.of_user(ada.pk, timezone.now())

        assert row.last_seen_at == began_at + timedelta(minutes=5) and row.created_at <= began_at

    def test_cost_no_query_between_two_minutes(self, ada, django_assert_num_queries):
        client = logged_in("ada")
        client.get("/profile/")

        with django_assert_num_queries(4):  # session, user, second factor, sessions
            client.get("/profile/")


class TestANewPassword:
    def test_ends_the_other_sessions_and_keeps_this_one(self, ada):
        client, other = logged_in("ada"), logged_in("ada")
        session_id, key = own_id(client), client.session.session_key

        form = {"oldpassword": PASSWORD, "password1": "another-long-word", "password2": "another-long-word"}
        client.post("/account/password/change/", form)

        assert is_in(client) and not is_in(other)
        assert own_id(client) == session_id and client.session.session_key != key
        assert [row.id for row in known.of_user(ada.pk, timezone.now())] == [session_id]
        assert [because for _, because, _ in ended(ada)] == ["new_password"]
        assert AuditEvent.objects.filter(action="user.password_changed", object_id=str(ada.pk)).count() == 1


class TestAnAdministrator:
    def test_ends_all_sessions_of_a_user(self, ada, bob):
        others = [logged_in("bob"), logged_in("bob")]

        answer = bearer(ada).delete("/api/v1/users/bob/sessions")

        assert answer.status_code == 204 and not any(map(is_in, others))
        assert ended(bob)[0][:2] == ("ada", "ended")

    def test_is_told_of_a_user_who_is_none(self, ada):
        assert bearer(ada).delete("/api/v1/users/nobody/sessions").json()["code"] == "user.not_found"

    @pytest.mark.parametrize("role", ["operator", "auditor", "finance"])
    def test_alone_may_do_it(self, bob, role):
        other = logged_in("bob")
        status = bearer(factories.person("eve", role)).delete("/api/v1/users/bob/sessions").status_code

        assert status == (403 if role == "auditor" else 404) and is_in(other)


class TestAUserWhoWasSwitchedOff:
    def test_is_out_at_once(self, ada):
        client = logged_in("ada")
        assert is_in(client)

        User.objects.filter(pk=ada.pk).update(is_active=False)

        assert not is_in(client) and client.get("/api/v1/me/sessions").status_code == 401

    def test_is_out_at_once_as_a_service_account_too(self, ada):
        client = logged_in("ada")

        User.objects.filter(pk=ada.pk).update(kind="service")

        assert not is_in(client)

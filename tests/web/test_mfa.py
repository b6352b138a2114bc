"""The second step of log-in: codes of an app, and recovery codes."""

import re
import time
from io import StringIO
from unittest.mock import Mock

import pytest
import time_machine
from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.management import CommandError, call_command

from pools.models import AuditEvent
from pools.services import credentials, second_factors
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "long-enough-word"
AT = int(time.time()) // 30 * 30


@pytest.fixture(autouse=True)
def clock():
    """Codes change every 30 seconds, and only when a test says so."""
    with time_machine.travel(AT, tick=False) as moved:
        yield moved


@pytest.fixture
def client(client, django_capture_on_commit_callbacks):
    """A browser whose requests commit, though the test's transaction does not."""
    ask = client.request

    def committed(**request):
        with django_capture_on_commit_callbacks(execute=True):
            return ask(**request)

    client.request = committed
    return client


@pytest.fixture
def ada(db):
    return factories.person("ada", "admin", password=PASSWORD)


def code(secret, at=AT):
    return format_hotp_value(hotp_value(secret, at // app_settings.TOTP_PERIOD))


def log_in(client):
    return client.post("/login/", {"username": "ada", "password": PASSWORD})


def enrolled(client):
    """Log in, connect an app by its pages, log out; return the app's key and the recovery codes."""
    log_in(client)
    asked = client.get("/account/second-factor/app/", follow=True)
    assert asked.redirect_chain[0][0].startswith("/account/confirm/")
    page = client.post(
        asked.redirect_chain[0][0], {"password": PASSWORD, "next": "/account/second-factor/app/"}, follow=True
    )
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.content.decode())[1]
    page = client.post("/account/second-factor/app/", {"code": code(secret)}, follow=True)
    codes = re.search(r"<pre>([\d\s]+)</pre>", page.content.decode())[1].split()
    client.post("/logout/")
    return secret, codes


def actions(user):
    rows = AuditEvent.objects.filter(object_id=str(user.pk)).order_by("id").values_list("action", flat=True)
    return [action for action in rows if not action.startswith("session.")]


class TestAnApp:
    def test_is_connected_by_its_code_and_asked_at_the_next_log_in(self, client, ada, clock):
        secret, codes = enrolled(client)
        clock.shift(60)

        first = log_in(client)
        before = client.get("/profile/").status_code
        second = client.post("/login/code/", {"code": code(secret, AT + 60)})

        assert first.headers["Location"] == "/login/code/" and before == 302
        assert second.status_code == 302 and client.get("/profile/").status_code == 200
        assert len(codes) == 10 and actions(ada) == [
            "user.second_factor_added", "user.recovery_codes_made", "user.recovery_codes_read",
        ]  # fmt: skip

    def test_is_not_connected_without_the_row_that_tells_of_it(self, client, ada, monkeypatch):
        log_in(client)
        client.post("/account/confirm/", {"password": PASSWORD})
        page = client.get("/account/second-factor/app/")
        secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.content.decode())[1]
        monkeypatch.setattr(second_factors.audit, "record", Mock(side_effect=RuntimeError("the disk is full")))

        with pytest.raises(RuntimeError):
            client.post("/account/second-factor/app/", {"code": code(secret)})

        assert not Authenticator.objects.exists() and actions(ada) == []

    def test_is_not_connected_by_a_wrong_code(self, client, ada):
        log_in(client)
        client.post("/account/confirm/", {"password": PASSWORD})
        client.get("/account/second-factor/app/")

        page = client.post("/account/second-factor/app/", {"code": "000000"})

        assert "This code is wrong" in page.content.decode() and not Authenticator.objects.exists()

    def test_is_not_connected_without_the_password_once_more(self, client, ada):
        log_in(client)

        assert client.get("/account/second-factor/app/").headers["Location"].startswith("/account/confirm/")

    def test_refuses_a_wrong_code_and_notes_it(self, client, ada, clock):
        enrolled(client)
        clock.shift(60)
        log_in(client)

        page = client.post("/login/code/", {"code": "000000"})

        assert "This code is wrong" in page.content.decode() and client.get("/profile/").status_code == 302
        row = AuditEvent.objects.filter(action="session.refused", object_id=str(ada.pk)).latest("id")
        assert row.after["because"] == "code"

    def test_takes_each_code_once(self, client, ada, clock, settings):
        settings.MFA_TOTP_PERIOD = 600  # that a code was used is kept for one, by the clock of the cache
        secret, _ = enrolled(client)
        clock.shift(60)
        log_in(client)
        client.post("/login/code/", {"code": code(secret, AT + 60)})
        client.post("/logout/")
        log_in(client)

        page = client.post("/login/code/", {"code": code(secret, AT + 60)})

        assert "was used already" in page.content.decode() and client.get("/profile/").status_code == 302

    def test_refuses_all_codes_after_five_wrong_ones(self, client, ada, clock):
        secret, _ = enrolled(client)
        clock.shift(600)
        log_in(client)
        for _ in range(5):
            client.post("/login/code/", {"code": "000000"})

        page = client.post("/login/code/", {"code": code(secret, AT + 600)})

        assert "Too many wrong tries" in page.content.decode()

    def test_is_kept_encrypted_also_after_the_keys_changed(self, client, ada):
        secret, _codes = enrolled(client)
        row = Authenticator.objects.get(type="totp")
        stored = row.data["secret"]

        second_factors.rotate()

        row.refresh_from_db()
        assert secret not in stored and row.data["secret"] != stored
        assert credentials.decrypt_text(row.data["secret"]) == secret

    def test_can_be_disconnected(self, client, ada, clock):
        _secret, codes = enrolled(client)
        clock.shift(60)
        log_in(client)
        client.post("/login/code/", {"code": codes[0]})
        client.post("/account/confirm/", {"password": PASSWORD})

        client.post("/account/second-factor/app/remove/")

        assert not Authenticator.objects.exists() and actions(ada)[-1] == "user.second_factor_removed"


class TestWhoLostEverything:
    def test_is_let_in_again_by_a_command(self, client, ada):
        enrolled(client)

        call_command("second-factor", "--remove", "ada", stdout=StringIO())

        log_in(client)
        assert client.get("/profile/").status_code == 200 and actions(ada)[-1] == "user.second_factor_removed"

    def test_has_to_be_somebody(self, db):
        with pytest.raises(CommandError, match="There is no such user"):
            call_command("second-factor", "--remove", "nobody")


class TestRecoveryCodes:
    def test_let_in_once(self, client, ada, clock):
        _, codes = enrolled(client)
        clock.shift(60)
        log_in(client)
        client.post("/login/code/", {"code": codes[3]})
        let_in = client.get("/profile/").status_code
        client.post("/logout/")
        log_in(client)

        page = client.post("/login/code/", {"code": codes[3]})

        assert let_in == 200 and "This code is wrong" in page.content.decode()

    def test_are_shown_once(self, client, ada, clock):
        _, codes = enrolled(client)
        clock.shift(60)
        log_in(client)
        client.post("/login/code/", {"code": codes[0]})
        client.post("/account/confirm/", {"password": PASSWORD})

        page = client.get("/account/second-factor/codes/").content.decode()

        assert codes[1] not in page and "9 of 10 are unused" in page

    def test_are_made_anew(self, client, ada, clock):
        _, codes = enrolled(client)
        clock.shift(60)
        log_in(client)
        client.post("/login/code/", {"code": codes[0]})
        client.post("/account/confirm/", {"password": PASSWORD})

        page = client.post("/account/second-factor/codes/make/", follow=True).content.decode()

        assert codes[1] not in page and len(re.findall(r"^\d{8}$", page.replace("<pre>", "\n"), re.M)) == 10
        assert actions(ada)[-2:] == ["user.recovery_codes_made", "user.recovery_codes_read"]

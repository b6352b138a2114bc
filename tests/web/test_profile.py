"""The profile, and ways to a new password."""

import re
import time

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.models import AuditEvent
from pools.services import tokens
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "long-enough-word"
NEW = "another-long-word"


@pytest.fixture
def ada(db):
    return factories.person("ada", "admin", password=PASSWORD, email="ada@example.org")


@pytest.fixture
def client(client, ada):
    client.post("/login/", {"username": "ada", "password": PASSWORD})
    return client


@pytest.fixture
def api(ada):
    token = tokens.make(username="ada", name="t", actor=SYSTEM, now=timezone.now())
    return Client(HTTP_AUTHORIZATION=f"Bearer {getattr(token, 'token', token)}")


def given(**changed):
    return {"display_name": "", "email": "ada@example.org", "language": "", "time_zone": ""} | changed


def noted(user, action):
    return list(AuditEvent.objects.filter(action=action, object_id=str(user.pk)).order_by("id"))


def mails(count):
    """They are sent aside."""
    for _ in range(100):
        if len(mail.outbox) >= count:
            break
        time.sleep(0.02)
    return mail.outbox


class TestTheProfile:
    def test_is_there_for_people_without_any_role(self, ada):
        factories.person("bob", password=PASSWORD)
        client = Client()
        client.post("/login/", {"username": "bob", "password": PASSWORD})

        assert client.get("/profile/").status_code == 200

    def test_changes_what_is_given_and_notes_it(self, client, ada):
        client.post("/profile/", given(display_name="Ada L.", time_zone="Asia/Shanghai"))

        ada.refresh_from_db()
        (row,) = noted(ada, "user.profile_changed")
        assert (ada.display_name, ada.time_zone, ada.generation) == ("Ada L.", "Asia/Shanghai", 2)
        assert row.before == {"display_name": "", "time_zone": ""}
        assert row.after == {"display_name": "Ada L.", "time_zone": "Asia/Shanghai"}

    def test_that_stays_the_same_notes_nothing(self, client, ada):
        client.post("/profile/", given())

        assert noted(ada, "user.profile_changed") == []

    def test_refuses_what_cannot_be(self, client, ada):
        fields = given(language="xx", time_zone="Mars/Olympus", email="nonsense", password=PASSWORD)

        page = client.post("/profile/", fields)

        assert page.context["mistakes"].keys() == {"language", "time_zone", "email"}
        assert noted(ada, "user.profile_changed") == []

    def test_takes_no_other_field(self, client, ada):
        client.post("/profile/", given(username="root", kind="service", is_active="false", password_hash="x"))

        ada.refresh_from_db()
        assert (ada.username, ada.kind, ada.is_active) == ("ada", "person", True)

    @pytest.mark.parametrize(("password", "email"), [(PASSWORD, "new@example.org"), ("wrong", "ada@example.org")])
    def test_changes_the_address_only_with_the_password(self, client, ada, password, email):
        client.post("/profile/", given(email="New@Example.org", password=password))

        ada.refresh_from_db()
        assert ada.email == email

    def test_shows_nobody_elses(self, ada):
        assert Client().get("/profile/").headers["Location"].startswith("/login/")


class TestTheLanguage:
    def test_of_the_profile_holds_in_every_browser(self, client, ada):
        client.post("/profile/", given(language="zh-hans"))
        other = Client()
        other.post("/login/", {"username": "ada", "password": PASSWORD})

        page = other.get("/pools/")

        assert "资源池" in page.content.decode() and page.headers["Content-Language"] == "zh-hans"

    def test_that_this_browser_was_told_wins(self, client, ada):
        client.post("/profile/", given(language="zh-hans"))
        client.post("/preferences/", {"language": "en"})

        assert "资源池" not in client.get("/pools/").content.decode()


class TestTheTimeZone:
    def test_is_that_of_the_times_shown(self, client, ada):
        utc = client.get("/profile/").content.decode()
        client.post("/profile/", given(time_zone="Asia/Shanghai"))

        there = client.get("/profile/").content.decode()

        assert re.search(r'title="[\d-]+ [\d:]+ UTC"', utc) and re.search(r'title="[\d-]+ [\d:]+ UTC\+08:00"', there)


class TestChangingThePassword:
    def test_needs_the_present_one(self, client, ada):
        page = client.post("/account/password/change/", {"oldpassword": "x", "password1": NEW, "password2": NEW})

        ada.refresh_from_db()
        assert "This is not your password" in page.content.decode() and ada.check_password(PASSWORD)

    @pytest.mark.parametrize("weak", ["short", "password1234", "ada@example.org"])
    def test_refuses_weak_ones(self, client, ada, weak):
        client.post("/account/password/change/", {"oldpassword": PASSWORD, "password1": weak, "password2": weak})

        ada.refresh_from_db()
        assert ada.check_password(PASSWORD) and ada.password.startswith("argon2$")

    def test_is_not_for_those_who_have_none(self, db):
        client = Client()
        client.force_login(factories.person("sso-user"))

        assert client.get("/account/password/change/").status_code == 404
        assert "you log in by single sign-on" in client.get("/profile/").content.decode()


class TestALinkByAnAdministrator:
    def link(self, api, name):
        answer = api.post(f"/api/v1/users/{name}/password-reset", content_type="application/json")
        assert answer.status_code == 201, answer.content
        return answer.json()["link"].removeprefix("http://testserver")

    @pytest.fixture
    def bob(self, db):
        return factories.person("bob", password=PASSWORD, email="bob@example.org")

    def choose(self, link, password=NEW):
        client = Client()
        page = client.get(link, follow=True)
        if not page.redirect_chain:
            return page
        return client.post(page.redirect_chain[-1][0], {"password1": password, "password2": password}, follow=True)

    def test_lets_choose_a_new_password_once(self, api, bob):
        there = Client()
        there.post("/login/", {"username": "bob", "password": PASSWORD})
        link = self.link(api, "bob")

        done = self.choose(link)
        again = self.choose(link, "a-third-long-word")

        bob.refresh_from_db()
        assert "Your password was set" in done.content.decode() and bob.check_password(NEW)
        assert "was used already" in again.content.decode()
        assert there.get("/profile/").status_code == 302
        allowed, was_reset = noted(bob, "user.password_reset_allowed"), noted(bob, "user.password_reset")
        assert [row.actor for row in (*allowed, *was_reset)] == ["ada", "bob"]

    def test_stands_nowhere(self, api, bob):
        secret = self.link(api, "bob").rsplit("-", 1)[1].rstrip("/")

        assert secret not in str([vars(row) for row in AuditEvent.objects.all()])

    def test_works_for_24_hours(self, api, bob, settings):
        link = self.link(api, "bob")
        settings.PASSWORD_RESET_TIMEOUT = -1

        assert "has expired" in self.choose(link).content.decode()

    @pytest.mark.parametrize("change", ["0" * 32, "key", "no-such"])
    def test_that_was_changed_says_only_that(self, api, bob, change):
        link = self.link(api, "bob")
        changed = {
            "0" * 32: link.replace(bob.pk.hex, "0" * 32),
            "key": link[:-3] + ("aa/" if not link.endswith("aa/") else "bb/"),
            "no-such": f"/account/password/reset/key/{bob.pk.hex}-no-such/",
        }[change]

        assert "was used already, has expired or is not whole" in self.choose(changed).content.decode()

    @pytest.mark.parametrize("fields", [{"kind": "service"}, {"is_active": False}])
    def test_is_not_for_those_who_cannot_log_in(self, api, fields):
        factories.person("eve", **fields)

        answer = api.post("/api/v1/users/eve/password-reset", content_type="application/json")

        assert (answer.status_code, answer.json()["code"]) == (409, "user.no_log_in")

    def test_is_for_administrators_only(self, bob):
        token = tokens.make(
            username=factories.person("op", "operator").username, name="t", actor=SYSTEM, now=timezone.now()
        )
        client = Client(HTTP_AUTHORIZATION=f"Bearer {getattr(token, 'token', token)}")

        assert client.post("/api/v1/users/bob/password-reset", content_type="application/json").status_code == 404


class TestALinkByMail:
    @pytest.fixture(autouse=True)
    def _has_mail(self, settings):
        settings.HAS_EMAIL = True

    def ask(self, email):
        return Client().post("/account/password/reset/", {"email": email}, follow=True)

    def test_is_sent_to_who_has_the_address(self, ada):
        self.ask("ADA@example.org")

        (message,) = mails(1)
        link = re.search(r"http://testserver(\S+)", message.body)[1]
        assert (
            message.to == ["ada@example.org"]
            and "Choose a new password" in Client().get(link, follow=True).content.decode()
        )

    def test_is_promised_in_the_same_words_to_everybody(self, ada):
        factories.person("eve", email="eve@example.org", is_active=False)
        factories.person("robot", email="robot@example.org", kind="service")

        answers = [
            self.ask(email) for email in ("ada@example.org", "x@example.org", "eve@example.org", "robot@example.org")
        ]

        pages = {re.sub(r'value="\w{64}"', "", answer.content.decode()) for answer in answers}
        assert len(pages) == 1 and {answer.status_code for answer in answers} == {200}
        assert len(mails(1)) == 1

    def test_is_not_sent_without_end(self, ada):
        answers = [self.ask("ada@example.org").status_code for _ in range(6)]

        assert answers == [200] * 5 + [429]

    def test_without_a_mail_server_is_not_offered(self, ada, settings):
        settings.HAS_EMAIL = False

        page = Client().get("/login/").content.decode()

        assert "Ask an administrator" in page and Client().get("/account/password/reset/").status_code == 404

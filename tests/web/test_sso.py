"""Single sign-on with a real identity provider (Canaille) over HTTP."""

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialAccount, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Client
from canaille.app import models
from canaille.backends import Backend
from canaille.oidc.provider import AuthorizationCodeGrant
from django.test import Client
from pytest_iam import iam_configuration, iam_server, iam_server_port

from pools.domain import ids
from pools.models import AuditEvent, RoleBinding, SsoGroup, User
from tests import factories

__all__ = ["iam_configuration", "iam_server", "iam_server_port"]
pytestmark = pytest.mark.django_db
SECRET = "the-clients-s3cret"
DID_NOT_WORK = "Single sign-on did not work"


@pytest.fixture(scope="session")
def provider(iam_server):
    """The provider, which knows ocenter as a client."""
    client = models.Client(
        client_id="ocenter",
        client_secret=SECRET,
        client_name="ocenter",
        client_uri="http://testserver",
        redirect_uris=["http://testserver/oidc/sso/login/callback/"],
        grant_types=["authorization_code"],
        response_types=["code"],
        scope=["openid", "profile", "email", "groups"],
        token_endpoint_auth_method="client_secret_basic",
    )
    iam_server.backend.save(client)
    client.audience = [client]
    iam_server.backend.save(client)
    # Its memory finds codes by the code or the client, where its other backends want both.
    AuthorizationCodeGrant.query_authorization_code = _code_of_client
    return iam_server


def _code_of_client(_grant, code, _client):
    found = Backend.instance.query(models.AuthorizationCode, code=code)
    return found[0] if found and not found[0].is_expired() else None


@pytest.fixture(autouse=True)
def _configured(provider, settings):
    app = {
        "provider_id": "sso",
        "name": "Example ID",
        "client_id": "ocenter",
        "secret": SECRET,
        "settings": {"server_url": provider.url.rstrip("/")},
    }
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]
        | {"APPS": [app], "SCOPE": ["openid", "profile", "email", "groups"]}
    }


@pytest.fixture
def erin(provider):
    """Somebody whom the provider knows and ocenter does not."""
    name = f"erin{ids.new_id().hex[-8:]}"
    user = provider.random_user(
        user_name=name, display_name=name, formatted_name="Erin X", emails=[f"{name}@example.org"]
    )
    provider.login(user)
    provider.consent(user)
    yield user
    provider.logout()


@pytest.fixture
def group(provider):
    """Makes groups at the provider; one of them is in the table of ocenter."""

    def make(name, *members, role="", project=None):
        unique = f"{name}-{ids.new_id().hex[-8:]}"
        if role:
            SsoGroup.objects.create(name=unique, role=role, project=project, created_at=factories.NOW)
        return provider.random_group(display_name=unique, members=list(members))

    return make


def asked(client):
    """Press the button; return what the provider is asked."""
    return client.get("/oidc/sso/login/").headers["Location"]


def answered(address):
    """Be at the provider; return the way back to ocenter."""
    location = requests.get(address, allow_redirects=False, timeout=10).headers["Location"]
    assert location.startswith("http://testserver/oidc/sso/login/callback/")
    return location.removeprefix("http://testserver")


def sign_on(client):
    return client.get(answered(asked(client)))


def known(erin):
    return User.objects.get(username=erin.user_name)


def roles(user):
    rows = RoleBinding.objects.filter(user=user).values_list("source", "role", "project__path")
    return sorted(f"{source} {role} {path or ''}".strip() for source, role, path in rows)


def changed_roles(user):
    rows = AuditEvent.objects.filter(action="user.sso_roles_changed", object_id=str(user.pk)).order_by("id")
    return [(row.before["roles"], row.after["roles"]) for row in rows]


class TestTheButton:
    def test_stands_on_the_page_of_log_in_and_keeps_where_one_wanted_to_go(self, client):
        page = client.get("/login/?next=/pools/").content.decode()

        assert 'href="/oidc/sso/login/?next=%2Fpools%2F"' in page and "Log in with Example ID" in page

    def test_asks_with_state_nonce_and_a_challenge(self, client):
        query = parse_qs(urlsplit(asked(client)).query)

        assert query["code_challenge_method"] == ["S256"] and query["response_type"] == ["code"]
        assert len(query["state"][0]) >= 16 and len(query["nonce"][0]) == 64 and query["nonce"] != query["state"]

    def test_leads_nowhere_without_a_provider(self, client, settings):
        settings.SOCIALACCOUNT_PROVIDERS = {}

        assert client.get("/oidc/sso/login/").status_code == 404
        assert "oidc" not in client.get("/login/").content.decode()

    def test_answers_with_a_page_when_the_provider_is_away(self, client, settings):
        apps = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
        apps[0]["settings"] = {"server_url": "http://localhost:9"}

        response = client.get("/oidc/sso/login/")

        assert response.status_code == 401 and DID_NOT_WORK in response.content.decode()


class TestTheFirstSignOn:
    def test_makes_a_user_without_any_role(self, client, erin):
        response = sign_on(client)

        made = known(erin)
        page = client.get("/")
        assert response.headers["Location"] == "/" and page.status_code == 403
        assert "No access yet" in page.content.decode() and roles(made) == []
        assert (made.display_name, made.email) == ("Erin X", erin.emails[0]) and not made.has_usable_password()

    def test_is_noted(self, client, erin):
        sign_on(client)

        rows = AuditEvent.objects.filter(actor=erin.user_name).order_by("id").values_list("action", "after")
        assert [action for action, _ in rows] == ["user.joined_by_sso", "session.began"]
        assert rows[1][1]["method"] == "sso"

    def test_leads_to_where_one_wanted_to_go(self, client, erin):
        address = client.get("/oidc/sso/login/?next=/pools/").headers["Location"]

        assert client.get(answered(address)).headers["Location"] == "/pools/"

    def test_never_takes_over_an_account_with_the_same_address_or_name(self, client, erin):
        local = factories.person(erin.user_name, "admin", email=erin.emails[0].upper(), password="long-enough-word")

        sign_on(client)

        made = SocialAccount.objects.get(uid=erin.user_name).user
        local.refresh_from_db()
        assert made != local and made.username != local.username and made.email == "" and roles(made) == []
        assert local.check_password("long-enough-word") and roles(local) == ["hand admin"]

    def test_stores_no_token_of_the_provider_and_of_its_claims_the_groups_only(self, client, erin, group):
        named = group("staff", erin).display_name

        sign_on(client)

        account = SocialAccount.objects.get(user=known(erin))
        assert account.extra_data == {"groups": [named]} and not SocialToken.objects.exists()
        assert "token" not in str(dict(client.session.items())).replace("_csrf", "").lower()


class TestGroups:
    def test_give_roles_on_the_platform_and_in_projects(self, client, erin, group):
        acme = factories.project("acme")
        group("auditors", erin, role="auditor")
        group("acme-people", erin, role="member", project=acme)
        group("unmapped", erin)

        sign_on(client)

        assert roles(known(erin)) == ["sso auditor", "sso member acme"]
        assert changed_roles(known(erin)) == [([], ["auditor", "member of acme"])]
        assert client.get("/").status_code == 200

    def test_take_roles_away_at_the_next_sign_on_and_leave_those_given_by_hand(self, client, provider, erin, group):
        acme = factories.project("acme")
        people = group("acme-people", erin, role="owner", project=acme)
        sign_on(client)
        user = known(erin)
        RoleBinding.objects.create(user=user, project=acme, role="viewer", source="hand", created_at=factories.NOW)
        provider.backend.update(people, members=[])
        provider.backend.save(people)

        sign_on(Client())

        assert roles(user) == ["hand viewer acme"]
        assert changed_roles(user) == [([], ["owner of acme"]), (["owner of acme"], [])]

    def test_that_stay_the_same_change_and_note_nothing(self, client, erin, group):
        group("auditors", erin, role="auditor")
        sign_on(client)
        before = list(RoleBinding.objects.filter(user=known(erin)).values_list("pk", flat=True))

        sign_on(Client())

        assert list(RoleBinding.objects.filter(user=known(erin)).values_list("pk", flat=True)) == before
        assert len(changed_roles(known(erin))) == 1

    def test_follow_the_table_when_that_changes(self, client, erin, group):
        named = group("staff", erin, role="auditor")
        sign_on(client)
        SsoGroup.objects.filter(name=named.display_name).update(role="finance")

        sign_on(Client())

        assert roles(known(erin)) == ["sso finance"]

    def test_give_nothing_to_who_logs_in_by_password(self, client, group):
        user = factories.person("ada", password="long-enough-word")
        RoleBinding.objects.create(user=user, role="auditor", source="sso", created_at=factories.NOW)

        client.post("/login/", {"username": "ada", "password": "long-enough-word"})

        assert roles(user) == ["sso auditor"] and changed_roles(user) == []


class TestARefusal:
    @pytest.fixture(autouse=True)
    def nobody_gets_in(self, client, erin):
        yield
        assert client.get("/profile/").status_code == 302
        assert not User.objects.filter(username=erin.user_name, is_active=True).exists()

    def refused(self, response):
        return response.status_code == 401 and DID_NOT_WORK in response.content.decode()

    def test_meets_an_answer_that_nobody_asked_for(self, client, erin):
        assert self.refused(client.get("/oidc/sso/login/callback/?code=x&state=made-up"))
        assert self.refused(client.get("/oidc/sso/login/callback/"))

    def test_meets_the_answer_to_another_browser(self, client, erin):
        back = answered(asked(Client()))

        assert self.refused(client.get(back))

    def test_meets_an_answer_that_took_too_long(self, client, erin, monkeypatch):
        back = answered(asked(client))
        later = time.time() + statekit.STATE_TTL + 1
        monkeypatch.setattr("allauth.socialaccount.internal.statekit.time.time", lambda: later)

        assert self.refused(client.get(back))

    def test_meets_a_code_of_another_log_in(self, client, erin):
        other = parse_qs(urlsplit(answered(asked(Client()))).query)
        own = parse_qs(urlsplit(answered(asked(client))).query)

        query = urlencode({"code": other["code"][0], "state": own["state"][0]})

        assert self.refused(client.get(f"/oidc/sso/login/callback/?{query}"))

    def test_meets_a_token_with_another_nonce(self, client, erin):
        address = asked(client)
        query = parse_qs(urlsplit(address).query)

        back = answered(address.replace(query["nonce"][0], "another"))

        assert self.refused(client.get(back))

    def test_meets_an_expired_token(self, client, erin, monkeypatch):
        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz=tz or UTC) + timedelta(days=1)

        back = answered(asked(client))
        monkeypatch.setattr("jwt.api_jwt.datetime", Later)

        assert self.refused(client.get(back))

    def test_meets_a_token_that_somebody_changed(self, client, erin, monkeypatch):
        fetch = OAuth2Client.get_access_token

        def changed(self, *given, **named):
            answer = fetch(self, *given, **named)
            head, body, _signature = answer["id_token"].split(".")
            return answer | {"id_token": f"{head}.{body}.{'A' * 342}"}

        back = answered(asked(client))
        monkeypatch.setattr(OAuth2Client, "get_access_token", changed)

        assert self.refused(client.get(back))

    def test_meets_userinfo_of_somebody_else(self, client, erin, monkeypatch):
        back = answered(asked(client))
        name = "pools.web.single_sign_on.Adapter._fetch_user_info"
        monkeypatch.setattr(name, lambda self, token: {"sub": "mallory", "groups": ["admins"]})

        assert self.refused(client.get(back))

    def test_meets_a_provider_of_another_name(self, client, erin, provider, settings):
        apps = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
        apps[0]["settings"] = {"server_url": provider.url.replace("localhost", "127.0.0.1").rstrip("/")}

        assert self.refused(client.get("/oidc/sso/login/"))

    def test_meets_who_was_switched_off(self, client, erin):
        sign_on(Client())
        User.objects.filter(username=erin.user_name).update(is_active=False)

        response = sign_on(client)

        assert response.headers["Location"] == "/account/inactive/"
        assert "switched off" in client.get("/account/inactive/").content.decode()

    def test_of_the_person_ends_in_a_page(self, client, erin):
        state = parse_qs(urlsplit(asked(client)).query)["state"][0]

        response = client.get(f"/oidc/sso/login/callback/?error=access_denied&state={state}", follow=True)

        assert "Log-in cancelled" in response.content.decode()

    def test_after_a_log_in_that_was_begun_here_is_noted(self, client, erin):
        last = (
            AuditEvent.objects.filter(action="session.refused").order_by("-id").values_list("id", flat=True).first()
            or 0
        )
        state = parse_qs(urlsplit(asked(client)).query)["state"][0]

        client.get(f"/oidc/sso/login/callback/?error=server_error&state={state}")
        client.get("/oidc/sso/login/callback/?error=server_error&state=made-up")

        rows = AuditEvent.objects.filter(action="session.refused", id__gt=last)
        assert [row.after["because"] for row in rows] == ["sso"]


class TestAnAnswer:
    def test_counts_once(self, client, erin):
        back = answered(asked(client))
        client.get(back)
        client.post("/logout/")

        again = client.get(back)

        assert again.status_code == 401 and client.get("/profile/").status_code == 302

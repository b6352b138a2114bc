"""What somebody can do with an address that ocenter is called by, or is told to go on to."""

import io
import logging
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client

from ocenter import logs
from tests.security import urls

pytestmark = pytest.mark.django_db
ELSEWHERE = (
    "https://elsewhere.example/",
    "//elsewhere.example/",
    "///elsewhere.example",
    "/\\elsewhere.example",
    "\\\\elsewhere.example",
    "https:elsewhere.example",
    "http:///elsewhere.example",
    "javascript:alert(1)",
    "\t//elsewhere.example",
    "/%09/elsewhere.example/../..//elsewhere.example",
    "https://testserver@elsewhere.example/",
    "https://elsewhere.example\\@testserver/",
)
NEXT_NAMES = ("next", "url", "to", "redirect", "return", "redirect_uri", "continue")
INJECTED = ("a\r\nX-Injected: 1\x00b", "a\u560d\u560aX-Injected: 1")


def leads_away(location: str) -> bool:
    """Whether a browser that is sent there leaves us."""
    plain = location.replace("\\", "/").strip()
    return not (plain.startswith("/") and not plain.startswith("//")) and not plain.startswith("?")


class TestAnOpenRedirect:
    @pytest.mark.parametrize("target", ELSEWHERE[:4])
    def test_is_nowhere(self, console, target):
        query = "&".join(f"{name}={quote(target, safe='')}" for name in NEXT_NAMES)
        for client in (console, Client(raise_request_exception=False)):
            for address in urls.every():
                answer = client.get(f"{address.path()}?{query}")

                assert answer.status_code < 300 or answer.status_code >= 400 or not leads_away(answer["Location"]), (
                    address.route
                )

    @pytest.mark.parametrize("target", ELSEWHERE)
    def test_is_not_behind_a_form_either(self, console, admin, target):
        admin.set_password("a long enough pass phrase")
        admin.save()

        kept = console.post("/preferences/", {"theme": "dark", "next": target})
        words = console.post("/i18n/setlang/", {"language": "zh-hans", "next": target})
        login = Client().post("/login/", {"username": "root", "password": "a long enough pass phrase", "next": target})

        for answer in (kept, words, login):
            assert answer.status_code in (302, 404) and not leads_away(answer.get("Location", "/"))


class TestAForgedHost:
    @pytest.mark.parametrize(
        "host",
        ["elsewhere.example", "testserver.elsewhere.example", "testserver:x", "a b", "testserver@elsewhere.example"],
    )
    def test_is_refused_everywhere_and_not_repeated(self, console, host):
        for address in urls.every():
            answer = console.get(address.path(), HTTP_HOST=host)

            assert answer.status_code == 400, address.route
            assert b"elsewhere" not in answer.content

    @pytest.mark.parametrize(
        "header", ["HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_X_HOST", "HTTP_X_ORIGINAL_URL"]
    )
    def test_in_a_header_of_proxies_changes_no_link(self, api, fleet, header):
        value = "host=elsewhere.example" if header == "HTTP_FORWARDED" else "elsewhere.example"

        answer = api._client.get("/api/v1/nodes?limit=1", headers=api._headers, **{header: value})

        assert answer.json()["next"].startswith("http://testserver/") and b"elsewhere" not in answer.content

    def test_is_known_only_where_an_operator_named_it(self):
        assert "*" not in settings.ALLOWED_HOSTS and not settings.USE_X_FORWARDED_HOST


class TestAnInjectedHeader:
    @pytest.mark.parametrize("text", INJECTED)
    def test_is_made_by_nothing_in_an_address(self, console, text):
        for address in urls.every():
            route = address.path()
            for asked in (f"{route}?next={quote(text)}&q={quote(text)}&cursor={quote(text)}", route + quote(text)):
                answer = console.get(asked)

                assert not any(name.lower() == "x-injected" for name in answer.headers), address.route
                assert not any(sign in value for value in answer.headers.values() for sign in "\r\n\x00"), address.route

    def test_is_no_request_id_of_ours(self, api, console):
        mine = "caller-chose-this"

        for answer in (
            api.get("/pools", headers={"X-Request-ID": mine}),
            api.get("/pools/absent", headers={"X-Request-ID": mine}),
            console.get("/pools/", headers={"X-Request-ID": mine}),
        ):
            assert mine not in str(answer.headers) and mine not in answer.content.decode()


class TestATokenInAnAddress:
    @pytest.fixture
    def written(self, monkeypatch):
        """Return what our own formatter writes of all that is logged, at the most talkative level."""
        formatter = logs.config("debug")["formatters"]["json"]
        handler = logging.StreamHandler(io.StringIO())
        made = formatter.pop("()")
        handler.setFormatter(made(**formatter))
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        yield handler.stream
        root.removeHandler(handler)
        root.setLevel(level)

    @pytest.mark.parametrize("name", ["token", "access_token", "api_key", "key", "authorization", "bearer", "auth"])
    def test_opens_nothing(self, db, token, name):
        client = Client(raise_request_exception=False)

        for path in ("/api/v1/pools", "/api/v1/pools/lab", "/metrics"):
            answer = client.get(f"{path}?{name}={token}")

            assert answer.status_code == 401 or b"ocenter_pool_info" not in answer.content
            assert token.encode() not in answer.content

    def test_never_lands_in_a_log_or_in_an_answer(self, db, token, written):
        client = Client(raise_request_exception=False)
        secrets = f"token={token}&password=hunter22&code=hunter22&access_token={token}"

        for address in urls.every():
            answer = client.get(f"{address.path()}?{secrets}")
            assert not address.is_api or token.encode() not in answer.content, address.route
        client.get(f"/nowhere/?{secrets}", HTTP_HOST="elsewhere.example")
        client.post(f"/login/?{secrets}", {"username": "root", "password": token})
        client.get("/api/v1/pools", HTTP_AUTHORIZATION=f"Bearer {token[:-1]}x")

        said = written.getvalue()
        assert said.count("\n") > 20
        assert token not in said and token[:-1] not in said and "hunter22" not in said

    def test_goes_to_no_other_site_as_referrer(self, client):
        assert client.get("/login/")["Referrer-Policy"] == "same-origin"

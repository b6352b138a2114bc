"""What a browser is told about every page, and what a page may not contain."""

from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from pools.models import Device, Node, SyncRun
from tests.security import urls

pytestmark = pytest.mark.django_db
LOADED_FROM_ELSEWHERE = {"script": "src", "link": "href", "img": "src", "form": "action", "iframe": "src"}


class Inline(HTMLParser):
    """Collects what the policy would have to allow inline, and what is loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.found.append(f"<{tag}>")
        for name, value in attributes:
            if name == "style" or name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"<{tag} {name}={value!r}>")
        address = given.get(LOADED_FROM_ELSEWHERE.get(tag, ""), "") or ""
        if address.startswith(("http:", "https:", "//")):
            self.found.append(f"<{tag}> of {address}")


def inline(html):
    parser = Inline()
    parser.feed(html)
    return parser.found


@pytest.fixture
def values(fleet):
    """What stands in addresses so that they lead to something."""
    return {
        "reference": "lab",
        "pool_id": str(fleet["lab"].pk),
        "run_id": str(SyncRun.objects.filter(pool=fleet["lab"]).first().pk),
        "node_id": str(Node.objects.filter(pool=fleet["lab"]).first().pk),
        "device_id": str(Device.objects.filter(pool=fleet["lab"]).first().pk),
        "slug": "nvidia-h100-80gb",
        "kind": "kubernetes",
        "number": "0",
    }


def answers(client, values):
    for address in urls.console():
        yield address.route, client.get(address.path(values))
    yield "an address that is none", client.get("/nowhere/")
    yield "a method that is none", client.generic("TRACE", "/")
    yield "an unusable host", client.get("/", HTTP_HOST="elsewhere.example")


class TestEveryAnswer:
    def test_lets_a_browser_run_nothing_inline_and_nothing_from_elsewhere(self, console, values):
        for route, answer in answers(console, values):
            policy = answer.get("Content-Security-Policy", "")
            rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";") if rule.strip())
            assert "unsafe" not in policy and "*" not in policy and "http" not in policy, route
            assert rules.get("default-src") == "'none'" and rules.get("script-src") == "'self'", route
            assert rules.get("base-uri") == rules.get("frame-ancestors") == "'none'", route
            assert rules.get("form-action", "").split()[0] == "'self'", route

    def test_cannot_be_framed_sniffed_or_read_by_other_origins(self, console, values):
        for route, answer in answers(console, values):
            assert answer.get("X-Frame-Options") == "DENY", route
            assert answer.get("X-Content-Type-Options") == "nosniff", route
            assert answer.get("Referrer-Policy") in ("same-origin", "strict-origin"), route
            assert answer.get("Cross-Origin-Opener-Policy") == "same-origin", route
            assert "camera=()" in answer.get("Permissions-Policy", ""), route
            assert "Access-Control-Allow-Origin" not in answer, route

    def test_holds_no_code_of_its_own_whatever_platforms_told(self, console, values):
        seen = 0
        for route, answer in answers(console, values):
            if answer.get("Content-Type", "").startswith("text/html") and not route.startswith("/api/"):
                seen += 1
                assert inline(answer.content.decode()) == [], route

        assert seen > 20

    def test_of_the_console_is_kept_by_nobody_between(self, console, values):
        for route, answer in answers(console, values):
            if answer.status_code == 200 and not route.startswith(("/healthz", "/static")):
                kept = answer.get("Cache-Control", "")
                assert "public" not in kept and ("no-store" in kept or "private" in kept or "no-cache" in kept), route


class TestOverHttps:
    @pytest.fixture(autouse=True)
    def _https(self, settings):
        settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = settings.LANGUAGE_COOKIE_SECURE = True
        settings.SECURE_HSTS_SECONDS = 365 * 86400

    def test_cookies_are_kept_from_scripts_from_plain_http_and_from_other_sites(self, admin):
        client = Client()
        cache.clear()  # of what counts log-ins
        admin.set_password("a long enough pass phrase")
        admin.save()

        page = client.get("/login/", secure=True)
        answer = client.post("/login/", {"username": "root", "password": "a long enough pass phrase"}, secure=True)

        assert answer.status_code == 302
        for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME):
            cookie = {**page.cookies, **answer.cookies}[name]
            assert cookie["secure"] and cookie["httponly"] and cookie["samesite"] == "Lax" and not cookie["domain"], (
                name
            )

    def test_a_browser_is_told_to_come_by_https_only(self, client):
        from django.middleware.security import SecurityMiddleware

        assert settings.MIDDLEWARE[0] == "django.middleware.security.SecurityMiddleware"
        answer = SecurityMiddleware(lambda request: client.get("/login/"))(_request(is_secure=True))

        assert answer["Strict-Transport-Security"] == "max-age=31536000"


def _request(*, is_secure):
    from django.test import RequestFactory

    return RequestFactory().get("/login/", secure=is_secure)

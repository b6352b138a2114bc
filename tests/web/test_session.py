"""Logging in and out, language and theme."""

import pytest
from django.conf import settings
from django.test import Client

from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(db):
    return factories.person("ada", "admin", password="long-enough-word")


class TestLogIn:
    def test_leads_to_where_one_wanted_to_go(self, client, ada):
        response = client.post("/login/", {"username": "ada", "password": "long-enough-word", "next": "/pools/"})

        assert response.status_code == 302 and response.headers["Location"] == "/pools/"

    def test_never_leads_to_another_site(self, client, ada):
        response = client.post(
            "/login/", {"username": "ada", "password": "long-enough-word", "next": "https://evil.example/"}
        )

        assert response.headers["Location"] == "/"

    def test_does_not_say_whether_the_name_or_the_password_is_wrong(self, client, ada):
        pages = [
            client.post("/login/", {"username": name, "password": "wrong"}).content.decode() for name in ("ada", "bob")
        ]

        assert all("This name and password do not fit together." in page for page in pages)
        assert all("wrong" not in page.split("<form")[1].split("password")[1] for page in pages)

    def test_needs_the_token_of_the_form(self, ada):
        client = Client(enforce_csrf_checks=True)

        assert client.post("/login/", {"username": "ada", "password": "long-enough-word"}).status_code == 403


class TestLogOut:
    def test_ends_the_session(self, console):
        console.post("/logout/")

        assert console.get("/").status_code == 302

    def test_needs_a_form(self, console):
        assert console.get("/logout/").status_code == 405


class TestPreferences:
    def test_keep_the_language(self, console):
        console.post("/preferences/", {"language": "zh-hans", "next": "/pools/"})

        assert "资源池" in console.get("/pools/").content.decode()

    def test_keep_the_theme(self, console):
        console.post("/preferences/", {"theme": "dark"})

        assert 'data-theme="dark"' in console.get("/").content.decode()

    def test_take_no_other_values(self, console):
        console.post("/preferences/", {"language": "xx", "theme": '"><script>'})

        assert settings.LANGUAGE_COOKIE_NAME not in console.cookies
        assert 'data-theme="auto"' in console.get("/").content.decode()

    @pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
    def test_never_lead_to_another_site(self, console, back):
        assert console.post("/preferences/", {"theme": "dark", "next": back}).headers["Location"] == "/"

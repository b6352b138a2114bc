"""Requests of programs go past what is for browsers, are told all that they would be told there, and leave nothing."""

import gc
import weakref

import pytest
from django.test import Client

from pools.api import base
from tests.factories import pool

pytestmark = pytest.mark.django_db
OWN = ("X-Request-ID", "RateLimit-Remaining", "RateLimit-Reset")
LONG_WAY = {"Cookie": "any=thing"}
CALLS = {
    "a list": ("GET", "/pools", {}),
    "no body": ("HEAD", "/pools", {}),
    "an object": ("GET", "/pools/lab", {}),
    "a wrong filter": ("GET", "/pools?nothing=1", {}),
    "what is not there": ("GET", "/pools/none", {}),
    "no address": ("GET", "/none", {}),
    "no method": ("PUT", "/pools", {}),
    "a wrong body": ("POST", "/pools", {}),
    "no token": ("GET", "/pools", {"Authorization": "Bearer oc_none"}),
    "a stream": ("GET", "/audit/export", {}),
    "own sessions": ("GET", "/me/sessions", {}),
}


@pytest.fixture(autouse=True)
def lab(admin):
    return pool("lab")


@pytest.fixture
def watched(monkeypatch):
    """Views that were asked, and whether the middleware of sessions was passed before."""
    seen, initial = [], base.View.initial

    def watch(view, request, *args, **kwargs):
        seen.append((weakref.ref(view), hasattr(request._request, "session")))
        return initial(view, request, *args, **kwargs)

    monkeypatch.setattr(base.View, "initial", watch)
    return seen


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
class TestAProgram:
    def test_is_told_the_same_as_the_long_way(self, token, call):
        method, path, headers = call
        given = {"Authorization": f"Bearer {token}"} | headers

        short, long = (Client().generic(method, f"/api/v1{path}", headers=each) for each in (given, given | LONG_WAY))

        told, told_long = ({n: value for n, value in each.items() if n not in OWN} for each in (short, long))
        assert (short.status_code, told) == (long.status_code, told_long)


class TestTheShortWay:
    def test_is_closed_to_hosts_that_are_none_of_ours(self, token):
        headers = {"Authorization": f"Bearer {token}", "Host": "elsewhere.example"}

        assert Client().get("/api/v1/pools", headers=headers).status_code == 400

    def test_is_of_requests_with_a_token_alone(self, api, watched):
        ways = ({}, LONG_WAY, {"Accept-Language": "zh-hans"}, {"Authorization": "Basic x"}, {"Authorization": ""})

        for headers in ways:
            api.get("/pools", headers=headers)

        assert [has_session for _, has_session in watched] == [False, True, True, True, True]

    def test_speaks_the_language_of_the_installation_whoever_asked_before(self, api):
        chinese = api("PUT", "/pools", headers={"Accept-Language": "zh-hans"})

        answer = api("PUT", "/pools")

        assert (chinese["Content-Language"], answer["Content-Language"]) == ("zh-hans", "en")
        assert chinese.data["detail"] != answer.data["detail"]


class TestAnAnswer:
    @pytest.mark.parametrize("path", ["/pools", "/pools/none", "/pools?nothing=1"])
    def test_leaves_nothing_to_the_garbage_collector(self, api, watched, path):
        gc.disable()
        try:
            api.get(path)

            assert [view() for view, _ in watched] == [None]
        finally:
            gc.enable()

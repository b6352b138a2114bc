"""Whatever is sent, the answer is a problem that says what is wrong, and never a 500."""

import json

import pytest
from django.db import OperationalError

from pools.selectors import pools as seen
from tests.factories import pool

WHOLE = {"name": "lab", "kind": "simulated", "settings": {}, "credential": {}}


class TestAddresses:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/nothing", 404, "not_found"),
            ("GET", "/projects/a%0Ab/members", 404, "not_found"),
            ("GET", "/pools/", 404, "not_found"),
            ("GET", "/pools/absent", 404, "pool.not_found"),
            ("GET", "/pools/%00", 404, "pool.not_found"),
            ("GET", "/pools/Robert'); DROP TABLE pool;--", 404, "pool.not_found"),
            ("GET", "/pools/00000000-0000-7000-8000-000000000000", 404, "pool.not_found"),
            ("GET", "/nodes/%00", 404, "node.not_found"),
            ("GET", "/devices/1", 404, "device.not_found"),
            ("GET", "/devices/1/changes", 404, "device.not_found"),
            ("GET", "/nodes/00000000-0000-7000-8000-000000000000/changes", 404, "node.not_found"),
            ("GET", "/models/%00", 404, "model.not_found"),
            ("GET", "/kinds/mainframe", 404, "kind.not_found"),
            ("GET", "/sync-runs/x", 404, "sync_run.not_found"),
            ("POST", "/sync-runs/x/approve", 404, "sync_run.not_found"),
            ("PUT", "/pools", 405, "request.method"),
            ("OPTIONS", "/pools", 405, "request.method"),
            ("TRACE", "/pools", 405, "request.method"),
        ],
    )
    def test_that_lead_nowhere_are_named(self, api, method, path, status, code):
        answer = api(method, path)

        assert (answer.status_code, answer.data["code"]) == (status, code)
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.data.keys() == {"type", "title", "status", "code", "detail", "errors", "request_id"}
        assert answer.data["request_id"] == answer["X-Request-ID"]


class TestBodies:
    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b'{"name": "\\ud800"}', 400),
            (b"[" * 100_000, 400),
            (b'{"labels": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", 400),
            (b"NaN", 400),
            (b'{"sync_interval_seconds": 1e999}', 400),
            (b"[]", 422),
            (b'"text"', 422),
            (b"null", 422),
            (b'{"name": "a\\u0000b"}', 422),
            (b'{"na\\u0000me": 1}', 422),
            (b'{"settings": {"a": [{"b": "\\u0000"}]}}', 422),
            (b'{"sync_interval_seconds": ' + b"9" * 40 + b"}", 422),
            (b'{"sync_interval_seconds": 1.5}', 422),
            (b'{"sync_interval_seconds": true}', 422),
            (b'{"labels": {"a": 1}}', 422),
            (b'{"labels": []}', 422),
            (b'{"name": null}', 422),
            (b'{"settings": {"nodes": ' + b"9" * 40 + b"}}", 422),
            (b'{"settings": {"nodes": {"a": [1]}}}', 422),
            (b'{"settings": {"": 1}, "credential": {"token": ["x"]}}', 422),
            (b'{"name": "' + b"x" * 100_000 + b'"}', 422),
        ],
    )
    @pytest.mark.parametrize(("method", "path"), [("POST", "/pools"), ("PATCH", "/pools/lab")])
    def test_that_make_no_sense_are_refused(self, api, method, path, raw, status):
        pool("lab")

        answer = api(method, path, raw=raw)

        assert answer.status_code == status, answer.data
        assert answer.data["status"] == status and "server" not in answer.data["code"]

    def test_name_every_wrong_field_at_once(self, api):
        answer = api.post(
            "/pools", {"nam": "x", "kind": 5, "labels": {"a": 1}, "sync_interval_seconds": "soon", "region": "ok"}
        )

        assert answer.data["code"] == "request.invalid"
        assert [(e["field"], e["code"]) for e in answer.data["errors"]] == [
            ("nam", "unknown_field"),
            ("name", "required"),
            ("kind", "bad_type"),
            ("labels", "bad_type"),
            ("sync_interval_seconds", "bad_type"),
        ]
        assert "Is name meant?" in answer.data["errors"][0]["detail"]

    def test_with_very_many_mistakes_are_told_in_short_and_listed_in_whole(self, api):
        answer = api.post("/pools", {**WHOLE, **{f"x{number}": 1 for number in range(500)}})

        assert len(answer.data["errors"]) == 500 and answer.data["detail"].endswith("; and 495 more.")

    def test_never_have_a_secret_quoted_back(self, api):
        secret = "geheim-4711"
        bodies = [
            {**WHOLE, "settings": {"token": secret}},
            {**WHOLE, "credential": {"token": [secret]}},
            {**WHOLE, "credential": {"token": secret + "\x00"}},
            {**WHOLE, "credential": secret},
            {**WHOLE, "credential": {"token": secret * 10_000}},
        ]

        for body in bodies:
            answer = api.post("/pools", body)
            assert answer.status_code == 422 and secret not in json.dumps(answer.data)

    def test_that_are_too_large_are_413(self, api):
        answer = api.post("/pools", raw=b'{"name": "' + b"x" * (1024 * 1024) + b'"}')

        assert (answer.status_code, answer.data["code"]) == (413, "request.too_large")

    def test_that_come_in_pieces_of_unknown_length_are_411(self, api):
        pool("lab")

        answer = api.post("/pools/lab/sync", headers={"Transfer-Encoding": "chunked"})

        assert (answer.status_code, answer.data["code"]) == (411, "request.length_required")

    def test_of_another_media_type_are_415(self, api):
        answer = api.post("/pools", WHOLE, headers={"Content-Type": "text/plain"})

        assert (answer.status_code, answer.data["code"]) == (415, "request.media_type")

    def test_may_be_absent_where_nothing_is_needed_and_not_hold_anything_else(self, api):
        pool("lab")

        assert api.post("/pools/lab/pause", {"reason": "x"}).status_code == 422
        assert api.post("/pools/lab/pause").status_code == 200
        assert api.post("/pools/lab/resume", {}).status_code == 200


class TestAnswers:
    def test_are_json_or_406(self, api):
        answer = api.get("/pools", headers={"Accept": "text/csv"})

        assert (answer.status_code, answer.data["code"]) == (406, "request.not_acceptable")

    def test_of_a_failure_inside_tell_the_request_and_nothing_else(self, api, monkeypatch):
        def broken(**_):
            raise RuntimeError("password=geheim")

        monkeypatch.setattr(seen, "page", broken)

        answer = api.get("/pools")

        assert (answer.status_code, answer.data["code"]) == (500, "server.error")
        assert "geheim" not in answer.content.decode() and answer.data["request_id"]

    def test_of_a_database_that_is_away_ask_to_come_back(self, api, monkeypatch):
        def away(**_):
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(seen, "page", away)

        answer = api.get("/pools")

        assert (answer.status_code, answer.data["code"], answer["Retry-After"]) == (503, "server.unavailable", "5")


class TestListParameters:
    def test_that_are_too_many_are_refused(self, api):
        answer = api.get("/devices?" + "&".join(["q=a"] * 2000))

        assert (answer.status_code, answer.data["code"]) == (400, "request.refused")
        assert answer.data["detail"] == "The address has too many parameters."

    @pytest.mark.parametrize("path", ["/pools", "/nodes", "/devices", "/models", "/sync-runs"])
    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=%C2%B2", "limit"),
            ("limit=99999999999999999999999", "limit"),
            ("cursor=x", "cursor"),
            ("cursor=%00", "cursor"),
            ("cursor=WzFd", "cursor"),
            ("cursor=WyJcdTAwMDAiLCAiXHUwMDAwIl0", "cursor"),
            ("vendr=nvidia", "vendr"),
            ("format=csv", "format"),
        ],
    )
    def test_that_are_wrong_are_named(self, api, path, query, field):
        answer = api.get(f"{path}?{query}")

        assert answer.status_code == 422, answer.data
        assert answer.data["errors"][0]["field"] == field

    @pytest.mark.parametrize(
        ("query", "meant"),
        [
            ("stat=free", "Is state meant?"),
            ("state=fre", "Is free meant?"),
            ("pool=labb", "Is lab meant?"),
            ("kind=simulate", "Is simulated meant?"),
            ("label=%3D", "name=value"),
            ("q=%00", "cannot be stored"),
            ("q=" + "x" * 2000, "1000 characters"),
        ],
    )
    def test_that_are_nearly_right_are_told_the_right_one(self, api, query, meant):
        pool("lab")

        answer = api.get(f"/devices?{query}")

        assert answer.status_code == 422 and meant in answer.data["errors"][0]["detail"]

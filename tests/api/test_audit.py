"""Who did what, is it unaltered, and what happens next: for auditors, owners of projects, and nobody else."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.domain.scopes import Scope
from pools.selectors import audit as reads
from pools.services import audit, grants, partitions, seals, tokens, verification
from tests import factories, logs
from tests.api.conftest import Api
from tests.factories import ALICE, NOW


def told(action, project=None, *, actor=ALICE, name="lab", object_id="id-of-lab", kind="pool", after=None, at=NOW):
    audit.record(
        actor, action, kind, object_id, name, None, after, at, project_id=project.pk if project else None
    )  # fmt: skip


def caller(user, **scope) -> Api:
    return Api(tokens.make(username=user.username, name="t", actor=SYSTEM, now=timezone.now(), **scope))


def actions(answer) -> list[str]:
    return [row["action"] for row in answer.data["results"]]


@pytest.fixture
def site(db):
    """Two tenants; each was given a pool, and something happened on the platform."""
    logs.empty()
    acme, vision, umbrella = (factories.project(path) for path in ("acme", "acme/vision", "umbrella"))
    told("pool.registered")
    told("pool.granted", vision, after={"project": "acme/vision"})
    told("pool.granted", umbrella, after={"project": "umbrella"})
    told("member.added", acme, kind="member", name="bob", object_id="m1")
    return {"acme": acme, "vision": vision, "umbrella": umbrella}


@pytest.fixture
def auditor(site):
    api = caller(factories.person("eve", "auditor"))
    logs.run("DELETE FROM audit_event WHERE action = 'token.made'")
    return api


@pytest.fixture
def owner(site):
    user = factories.person("olga")
    factories.project("acme", owner=user)
    return caller(user)


class TestAnAuditor:
    def test_learns_who_gave_a_project_the_right_to_a_pool_and_when(self, auditor):
        answer = auditor.get("/audit?action=pool.granted&pool=lab&project=acme/vision")

        (row,) = answer.data["results"]
        assert (row["actor"], row["at"], row["project"]) == ("alice", "2026-11-25T12:00:00Z", "acme/vision")
        assert row["after"] == {"project": "acme/vision"} and row["request_id"] == "req-1"

    def test_learns_it_of_what_the_service_really_writes(self, auditor, site):
        lab = factories.pool("real-lab")
        grants.add(pool_id=lab.pk, project_id=site["vision"].pk, actor=ALICE, now=NOW)
        grants.remove(pool_id=lab.pk, project_id=site["vision"].pk, actor=ALICE, now=NOW)

        rows = auditor.get("/audit?pool=real-lab&project=acme/vision").data["results"]

        assert [(row["action"], row["actor"]) for row in rows] == [
            ("pool.grant_revoked", "alice"), ("pool.granted", "alice"),
        ]  # fmt: skip

    def test_sees_by_which_seal_each_row_is_proved(self, auditor):
        logs.run("TRUNCATE audit_event")
        (first, second) = logs.sealed(2, 3)
        (late,) = logs.write(xid=60)

        rows = auditor.get("/audit?actor=alice").data["results"]

        assert {row["id"]: row["seal"] for row in rows} == {
            **dict.fromkeys(first, 1), **dict.fromkeys(second, 2), late: None,
        }  # fmt: skip

    def test_learns_whether_the_log_is_unaltered_and_since_when_that_is_known(self, auditor, monkeypatch):
        assert auditor.get("/audit/verification").data == {"result": None, "requested_at": None, "requested_by": None}

        asked = auditor.post("/audit/verification")
        assert asked.status_code == 202 and asked.data["requested_by"] == "eve"
        verification.run_due(now=timezone.now())

        found = auditor.get("/audit/verification").data
        assert found["result"]["is_ok"] and found["result"]["asked_by"] == "eve" and found["requested_at"] is None

    def test_is_told_which_row_is_not_what_was_sealed(self, auditor):
        logs.run("TRUNCATE audit_event")
        _, (row, *_) = logs.sealed(2, 3)
        logs.run("UPDATE audit_event SET actor = 'mallory' WHERE id = %s", [row])

        verification.run_due(now=timezone.now())

        result = auditor.get("/audit/verification").data["result"]
        (finding,) = result["streams"][0]["findings"]
        assert not result["is_ok"] and (finding["kind"], finding["row"], finding["seal"]) == ("row_changed", row, 2)

    def test_lists_the_seals(self, auditor):
        logs.run("TRUNCATE audit_event")
        logs.sealed(2, 3, stream="ledger_event")
        logs.sealed(1)

        found = auditor.get("/audit/seals?limit=1&stream=ledger_event").data
        rest = auditor.get(found["next"]).data

        (newest,), (oldest,) = found["results"], rest["results"]
        assert (newest["number"], newest["row_count"], oldest["number"]) == (2, 3, 1)
        assert newest["previous_root"] == oldest["root"] and len(newest["signature"]) == 128

    def test_goes_through_all_pages_without_missing_or_doubling_a_row(self, auditor):
        written = logs.write(30)

        seen, path = [], "/audit?limit=7"
        while path:
            page = auditor.get(path).data
            seen += [row["id"] for row in page["results"]]
            path = page["next"]

        assert seen[-30:] == written[::-1] and len(set(seen)) == len(seen) == 34

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("object=id-of-lab", 3),
            ("object=bob", 1),
            ("object_kind=member,pool", 4),
            ("actor=alice", 4),
            ("actor=nobody", 0),
            ("q=GRANT", 2),
            ("from=2026-11-25T12:00:00Z", 4),
            ("to=2026-11-25T12:00:00Z", 0),
            ("from=2026-11-26", 0),
            ("request_id=req-1&action=member.added", 1),
            ("project=acme", 2),
            ("project=acme/vision,umbrella", 2),
            ("pool=never-there", 0),
        ],
    )
    def test_filters(self, auditor, query, found):
        assert len(auditor.get(f"/audit?{query}").data["results"]) == found

    @pytest.mark.parametrize(
        ("query", "field"), [("from=yesterday", "from"), ("project=nowhere", "project"), ("actr=x", "actr")]
    )
    def test_is_told_what_is_wrong_with_a_filter(self, auditor, query, field):
        for path in ("/audit", "/audit/export"):
            answer = auditor.get(f"{path}?{query}")

            assert answer.status_code == 422 and answer.data["errors"][0]["field"] == field

    def test_costs_the_database_the_same_for_one_row_and_for_fifty(self, auditor, django_assert_num_queries):
        auditor.get("/audit")
        for count in (0, 50):
            logs.write(count)
            with django_assert_num_queries(2):  # rows, seals
                auditor.get("/audit")


class TestAnOwner:
    def test_sees_the_history_of_the_own_projects_only(self, owner, auditor):
        assert sorted(actions(owner.get("/audit"))) == ["member.added", "pool.granted"]
        assert "umbrella" not in owner.get("/audit").content.decode()
        assert len(auditor.get("/audit").data["results"]) > 2

    def test_cannot_ask_for_that_of_another_tenant(self, owner):
        foreign, absent = (owner.get(f"/audit?project={path}") for path in ("umbrella", "nowhere"))

        assert foreign.status_code == absent.status_code == 422
        assert foreign.data["errors"][0]["code"] == absent.data["errors"][0]["code"]
        assert actions(owner.get("/audit?object=umbrella")) == []

    def test_may_not_know_how_the_log_as_a_whole_stands(self, owner):
        for method, path in (("GET", "/audit/seals"), ("GET", "/audit/verification"), ("POST", "/audit/verification")):
            assert owner(method, path).status_code == 404

    def test_exports_the_own_projects_only(self, owner):
        lines = exported(owner, "")

        assert sorted(line["action"] for line in lines) == ["member.added", "pool.granted"]


def exported(api, query) -> list[dict[str, Any]]:
    response = api._client.get(f"/api/v1/audit/export{query}", headers=api._headers)
    assert response["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]


class TestAnExport:
    def test_has_every_row_in_order_with_its_seal(self, auditor, monkeypatch):
        monkeypatch.setattr(reads, "_ROWS_AT_ONCE", 7)
        logs.run("TRUNCATE audit_event")
        logs.sealed(40)

        lines = exported(auditor, "?object_kind=pool")

        assert [line["id"] for line in lines] == sorted(line["id"] for line in lines) and len(lines) == 40
        assert {line["seal"] for line in lines} == {1}

    def test_leaves_an_audit_row_with_its_filters(self, auditor):
        exported(auditor, "?actor=bob")

        (row,) = auditor.get("/audit?action=audit.exported").data["results"]
        assert row["actor"] == "eve" and row["after"] == {"filters": {"actor": "bob"}}

    def test_is_read_in_pieces_as_it_is_taken(self, auditor, monkeypatch, django_assert_num_queries):
        monkeypatch.setattr(reads, "_ROWS_AT_ONCE", 10)
        logs.write(1000)
        rows = reads.everything(params={}, access=factories.EVERYTHING)

        with django_assert_num_queries(2):
            next(rows)


class TestTheFeed:
    @pytest.fixture(autouse=True)
    def _old_rows(self, site):
        logs.run("UPDATE audit_event SET xid = (10 + id)::text::xid8")

    def test_tells_what_happened_in_order_and_where_to_go_on(self, auditor):
        first = auditor.get("/events?limit=3").data
        rest = auditor.get(first["next"]).data
        nothing = auditor.get(f"/events?after={rest['cursor']}").data

        told = [*first["results"], *rest["results"]]
        assert [row["action"] for row in told] == ["pool.registered", "pool.granted", "pool.granted", "member.added"]
        assert rest["next"] is None and nothing["results"] == []

    def test_begins_now_for_whoever_wants_that(self, auditor):
        assert auditor.get("/events?after=now").data["results"] == []

    def test_tells_a_tenant_nothing_of_others(self, owner):
        answer = owner.get("/events")

        assert actions(answer) == ["pool.granted", "member.added"] and b"umbrella" not in answer.content

    def test_of_a_token_for_a_pool_tells_of_that_pool_only(self, auditor, site):
        made = factories.pool("mine")
        told("pool.paused", object_id=str(made.pk), name="mine")
        logs.run("UPDATE audit_event SET xid = '90' WHERE action = 'pool.paused'")
        user = factories.person("bot", "auditor")
        scope = Scope(pools=frozenset({made.pk}))

        assert actions(caller(user, scope=scope).get("/events")) == ["pool.paused"]

    def test_answers_304_while_nothing_happens(self, auditor, django_assert_num_queries):
        answer = auditor.get("/events")
        etag = {"If-None-Match": answer["ETag"]}

        with django_assert_num_queries(2):  # the horizon, the rows
            assert auditor.get("/events", headers=etag).status_code == 304
        logs.write(xid=95)
        assert auditor.get("/events", headers=etag).status_code == 200

    @pytest.mark.parametrize("query", ["after=nonsense", "after=WzEsMl0x", "limit=0", "before=1"])
    def test_refuses_what_it_does_not_understand(self, auditor, query):
        assert auditor.get(f"/events?{query}").status_code == 422


class TestALateCommit:
    @pytest.fixture
    def committed(self, transactional_db):
        logs.empty()
        partitions.ensure(now=timezone.now())
        yield
        logs.empty()

    @pytest.mark.usefixtures("committed")
    def test_is_never_overtaken_in_the_feed_and_never_missed_by_a_seal(self):
        """The slow transaction takes the lower number and the lower id and commits after the fast one."""
        api = caller(factories.person("eve", "auditor"))
        logs.run("TRUNCATE audit_event")
        written, may_commit = threading.Event(), threading.Event()

        def slow():
            with transaction.atomic():
                told("pool.slow", at=timezone.now())
                written.set()
                may_commit.wait(30)
            connections.close_all()

        thread = threading.Thread(target=slow)
        thread.start()
        written.wait(30)
        told("pool.fast", at=timezone.now())
        early = api.get("/events").data
        assert early["results"] == [] and seals.seal(now=timezone.now()) == 0
        may_commit.set()
        thread.join()

        late, deadline = {"results": []}, timezone.now() + timedelta(seconds=60)
        while len(late["results"]) < 2 and timezone.now() < deadline:  # for transactions of other tests beside this one
            late = api.get(f"/events?after={early['cursor']}").data
        assert [row["action"] for row in late["results"]] == ["pool.slow", "pool.fast"]
        assert seals.seal(now=timezone.now()) == 2 and verification.run(actor=ALICE, now=timezone.now()).is_ok


def test_a_member_of_nothing_gets_nothing(site):
    api = caller(factories.person("stranger"))

    assert {api.get(path).status_code for path in ("/audit", "/audit/export", "/events")} == {403}
    assert api.get("/audit/seals").status_code == 404

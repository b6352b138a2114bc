"""Drift and orphans by REST: what is listed, and what becomes of them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pools.models import Drift, Orphan, Target
from tests import factories
from tests.factories import Clock, Shows, device, holding, use

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def orphan(api):
    """Seen by a sync an hour ago, beside somebody's shadow use."""
    lab = factories.pool("lab", mode="node", grain="node")
    shown = Shows(holding("n1", device("d0", uses=(use("vm-7", 500, marker="oc-left"),)), device("d1", uses=(use(),))))
    factories.synced(lab, shown, Clock(timezone.now() - timedelta(hours=1)))
    return Orphan.objects.get()


@pytest.fixture
def drift(orphan):
    target = Target.objects.create(pool=orphan.pool, kind="vm", ref="oc-other", mode="node", created_at=timezone.now())
    return Drift.objects.create(
        pool=orphan.pool, target=target, code="differs", calls=[{"verb": "update"}], opened_at=timezone.now()
    )


class TestOrphans:
    def test_are_listed_with_what_they_use_and_where(self, api, orphan):
        (row,) = api.get("/orphans?pool=lab").data["results"]

        assert (row["marker"], row["holder"], row["milli"], row["state"]) == ("oc-left", "vm-7", 500, "open")
        assert row["places"] == [{"node": "n1", "device": "d0"}] and row["allocation"] is None
        assert api.get("/orphans?state=closed").data["results"] == []
        assert api.get("/orphans?state=gone").status_code == 422

    def test_are_taken_away_by_a_worker(self, api, orphan):
        answer = api.post(f"/orphans/{orphan.id}/reap")

        assert (answer.status_code, answer.data["state"]) == (202, "reaping")
        target = Target.objects.get(ref="oc-left")
        assert target.is_unknown and target.due_at is not None

    def test_tell_why_not(self, api, orphan):
        Orphan.objects.update(opened_at=timezone.now())

        refused = api.post(f"/orphans/{orphan.id}/reap"), api.post(f"/orphans/{orphan.id}/adopt")

        assert [(each.status_code, each.data["code"]) for each in refused] == [
            (409, "orphan.too_fresh"),
            (409, "orphan.unknown"),
        ]


class TestDrift:
    def test_is_listed_with_the_calls_and_the_policy(self, api, drift):
        (row,) = api.get("/drift").data["results"]

        assert (row["target"], row["calls"], row["policy"]) == ("oc-other", [{"verb": "update"}], "report")
        assert (row["may_repair"], row["may_adopt"]) == (True, False)

    def test_is_decided_about(self, api, drift):
        ignored = api.post(f"/drift/{drift.id}/ignore")
        adopted = api.post(f"/drift/{drift.id}/adopt")
        repaired = api.post(f"/drift/{drift.id}/repair")

        assert (ignored.status_code, ignored.data["state"]) == (200, "ignored")
        assert (adopted.status_code, adopted.data["code"]) == (409, "drift.not_adoptable")
        assert (repaired.status_code, repaired.data["state"]) == (202, "repairing")

    def test_policy_is_set_by_an_edit_of_the_pool(self, api, drift):
        answer = api("PATCH", "/pools/lab", {"drift_policy": "repair"})
        wrong = api("PATCH", "/pools/lab", {"drift_policy": "panic"})

        assert (answer.status_code, answer.data["drift_policy"]) == (200, "repair")
        assert wrong.status_code == 422 and wrong.data["errors"][0]["field"] == "drift_policy"

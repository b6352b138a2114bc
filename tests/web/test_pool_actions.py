"""What people do to pools and runs, what follows, and what is refused."""

import json
import time

import pytest
from django.conf import settings
from django.utils import timezone

from pools.models import Capacity, Credential, Node, Pool, SyncRun

pytestmark = pytest.mark.django_db


class TestMoves:
    @pytest.mark.parametrize(
        ("action", "state"), [("pause", "paused"), ("drain", "draining"), ("maintenance", "maintenance")]
    )
    def test_say_what_follows_before_they_are_done(self, console, fleet, action, state):
        page = console.get(f"/pools/lab/{action}/").content.decode()
        before = Pool.objects.get(name="lab").state
        console.post(f"/pools/lab/{action}/", {"generation": Pool.objects.get(name="lab").generation})

        assert "What follows" in page and before == "active"
        assert Pool.objects.get(name="lab").state == state

    def test_can_be_taken_back(self, console, fleet):
        console.post("/pools/resting/resume/")

        assert Pool.objects.get(name="resting").state == "active"

    def test_do_nothing_when_somebody_was_faster(self, console, fleet):
        page = console.post("/pools/lab/pause/", {"generation": "0"}, follow=True).content.decode()

        assert "The pool changed after you read it" in page and Pool.objects.get(name="lab").state == "active"

    def test_are_offered_only_where_the_state_allows_them(self, console, fleet):
        page = console.get("/pools/resting/").content.decode()

        assert "/pools/resting/resume/" in page and "/pools/resting/drain/" not in page

    def test_need_to_be_known(self, console, fleet):
        assert console.get("/pools/lab/explode/").status_code == 404


class TestEdit:
    def test_changes_what_was_changed(self, console, fleet):
        pool = Pool.objects.get(name="lab")
        form = {
            "name": "lab-2",
            "region": "eu-9",
            "labels": "a=b",
            "sync_interval_seconds": "120",
            "generation": pool.generation,
        }

        response = console.post("/pools/lab/edit/", form)

        pool.refresh_from_db()
        assert response.headers["Location"] == "/pools/lab-2/settings/"
        assert (pool.name, pool.region, pool.labels, pool.sync_interval_seconds) == ("lab-2", "eu-9", {"a": "b"}, 120)

    def test_refuses_when_somebody_was_faster(self, console, fleet):
        form = {"name": "lab", "sync_interval_seconds": "120", "generation": "0"}

        response = console.post("/pools/lab/edit/", form)

        assert response.status_code == 422 and "The pool changed after you read it" in response.content.decode()

    def test_shows_no_secret(self, console, fleet):
        for part in ("edit", "credential", "settings"):
            assert "s3cret" not in console.get(f"/pools/begun/{part}/").content.decode()


class TestCredential:
    def test_is_replaced_after_a_check(self, console, fleet):
        response = console.post("/pools/lab/credential/", {"credential.token": "n3w-s3cret"})

        assert response.headers["Location"] == "/pools/lab/check/"
        assert Credential.objects.get(pool=fleet["lab"]).state == "pending"
        assert "A new credential waits" in console.get("/pools/lab/").content.decode()


class TestRemoval:
    def test_names_what_follows_and_frees_the_name(self, console, fleet):
        page = console.get("/pools/lab/remove/").content.decode()
        console.post("/pools/lab/remove/")

        assert "The stored credential is erased" in page
        assert not Pool.objects.filter(name="lab", removed_at=None).exists()
        assert console.get(f"/pools/{fleet['lab'].pk}/").status_code == 200
        assert console.get("/pools/lab/").status_code == 404

    def test_is_refused_while_somebody_holds_capacity(self, console, fleet):
        self.claim(fleet["lab"])

        response = console.post("/pools/lab/remove/")

        assert response.status_code == 409 and "Allocations hold capacity" in response.content.decode()

    def test_by_force_needs_the_name_typed(self, console, fleet):
        self.claim(fleet["late"])

        wrong = console.post("/pools/late/remove/", {"force_name": "lat"})
        right = console.post("/pools/late/remove/", {"force_name": "late"})

        assert wrong.status_code == 422 and "Type the name of the pool exactly." in wrong.content.decode()
        assert right.status_code == 302 and Pool.objects.get(pk=fleet["late"].pk).state == "removed"

    def claim(self, pool):
        row = Capacity.objects.filter(pool=pool, kind="cards", free_whole__gt=0)[0]
        row.pos_claimed_milli[0] = 1000
        row.save()


class TestSyncNow:
    def test_shows_the_run_while_it_goes_on(self, console, fleet):
        response = console.post("/pools/lab/sync/", follow=True)

        run = SyncRun.objects.get(pool=fleet["lab"], state="queued")
        page = response.content.decode()
        assert response.redirect_chain[-1][0] == f"/sync-runs/{run.pk}/" and "data-live" in page

    def test_is_refused_for_a_paused_pool(self, console, fleet):
        page = console.post("/pools/resting/sync/", follow=True).content.decode()

        assert "A pool in the state paused cannot be synchronised." in page

    def test_tells_how_far_it_is_only_when_that_changed(self, console, fleet):
        console.post("/pools/lab/sync/")
        run = SyncRun.objects.get(pool=fleet["lab"], state="queued")
        SyncRun.objects.filter(pk=run.pk).update(state="running", pages=3, seen=1200, started_at=timezone.now())
        first = console.get(f"/sync-runs/{run.pk}/live/")

        same = console.get(f"/sync-runs/{run.pk}/live/", headers={"If-None-Match": first.headers["ETag"]})
        SyncRun.objects.filter(pk=run.pk).update(seen=2400)
        other = console.get(f"/sync-runs/{run.pk}/live/", headers={"If-None-Match": first.headers["ETag"]})
        SyncRun.objects.filter(pk=run.pk).update(state="succeeded", ended_at=timezone.now())
        done = console.get(f"/sync-runs/{run.pk}/live/", headers={"If-None-Match": other.headers["ETag"]})

        assert "1,200" in first.content.decode() and same.status_code == 304
        assert "2,400" in other.content.decode() and done.headers["HX-Refresh"] == "true"


class TestAHeldRun:
    def test_says_what_waits_and_what_follows(self, console, fleet):
        page = console.get(f"/sync-runs/{fleet['held_run']}/").content.decode()

        assert "More than a fifth of the nodes is missing." in page
        assert "Not seen: 7 nodes and 14 devices." in page
        assert "Approve the loss" in page and "Reject the loss" in page

    def test_can_be_approved(self, console, fleet):
        page = console.post(f"/sync-runs/{fleet['held_run']}/approve/", follow=True).content.decode()

        assert "Approved" in page and "Decided by root." in page
        assert Node.objects.filter(pool=fleet["lossy"], missing_since__isnull=False).count() == 7

    def test_can_be_rejected(self, console, fleet):
        page = console.post(f"/sync-runs/{fleet['held_run']}/reject/", follow=True).content.decode()

        assert "Rejected" in page
        assert not Node.objects.filter(pool=fleet["lossy"], missing_since__isnull=False).exists()

    def test_is_decided_once(self, console, fleet):
        console.post(f"/sync-runs/{fleet['held_run']}/reject/")

        page = console.post(f"/sync-runs/{fleet['held_run']}/approve/", follow=True).content.decode()

        assert "This run does not wait for a decision; it is rejected." in page


class TestAFailedRun:
    def test_says_what_to_do_and_what_the_platform_said(self, console, fleet):
        page = console.get(f"/sync-runs/{fleet['failed_run']}/").content.decode()

        assert "Check address, network and firewall" in page
        assert "No answer from broken.example." in page and "connect: refused" in page


class TestSystem:
    @pytest.fixture
    def status(self, tmp_path, monkeypatch):
        monkeypatch.setattr(settings, "OCENTER_HOME", tmp_path)
        (tmp_path / "run").mkdir()

        def write(**child):
            told = {
                "name": "worker",
                "pid": 7,
                "state": "running",
                "restarts": 0,
                "last_exit": None,
                "since": time.time(),
            }
            (tmp_path / "run" / "status.json").write_text(json.dumps({"children": [told | child]}))

        return write

    def test_names_what_is_needed_and_whether_it_answers(self, console):
        page = console.get("/system/").content.decode()

        assert all(name in page for name in ("Database", "Broker", "Worker", "Scheduler"))

    def test_tells_every_page_that_a_process_was_restarted(self, console, fleet, status):
        status(restarts=2)

        page = console.get("/pools/").content.decode()

        assert "A process of ocenter was restarted" in page and "restarted 2 times" in page

    def test_tells_every_page_that_a_process_is_down(self, console, fleet, status):
        status(state="waiting", restarts=5)

        assert "A process of ocenter is down" in console.get("/pools/").content.decode()

    def test_is_quiet_while_all_is_well(self, console, fleet, status):
        status()

        assert "A process of ocenter" not in console.get("/pools/").content.decode()

    def test_lives_with_a_damaged_report(self, console, status, tmp_path):
        (tmp_path / "run" / "status.json").write_text("{half")

        assert console.get("/system/").status_code == 200

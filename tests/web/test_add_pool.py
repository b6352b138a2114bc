"""From nothing to a pool: form, check, preview, activation, and what can go wrong on the way."""

import pytest
from django.utils import timezone

from pools.models import AuditEvent, Device, Pool, PoolSync, SyncRun
from pools.reconcile import checks, inventory
from pools.services import partitions, pools

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "correct-horse-battery"
FORM = {
    "name": "trial",
    "region": "eu-1",
    "labels": "tier=prod, team=vision",
    "mode": "device",
    "sync_interval_seconds": "60",
    "settings.fleet": "trial",
    "settings.character": "plain",
    "settings.seed": "1",
    "settings.nodes": "3",
    "settings.devices_per_node": "4",
    "settings.used_percent": "0",
    "settings.page_size": "250",
    "credential.token": SECRET,
}


@pytest.fixture
def draft(console):
    partitions.ensure(now=timezone.now())
    console.post("/add-pool/simulated/", FORM)
    return Pool.objects.get(name="trial")


@pytest.fixture
def checked(draft):
    checks.run(pool_id=draft.pk, clock=timezone.now)
    return draft


class TestForm:
    def test_has_every_setting_of_the_manifest(self, console):
        page = console.get("/add-pool/kubernetes/").content.decode()

        assert 'name="settings.api_url"' in page and 'name="credential.kubeconfig"' in page

    def test_keeps_a_draft_and_asks_for_a_check(self, console):
        response = console.post("/add-pool/simulated/", FORM)

        made = Pool.objects.get(name="trial")
        assert response.headers["Location"] == "/pools/trial/check/"
        assert made.state == "registering" and made.labels == {"tier": "prod", "team": "vision"}
        assert PoolSync.objects.get(pool=made).check_state == "queued"
        assert AuditEvent.objects.filter(action="pool.registered", actor="root").exists()

    def test_says_everything_that_is_wrong_at_once_beside_the_fields(self, console):
        wrong = FORM | {
            "name": "No Good Name",
            "labels": "nonsense",
            "sync_interval_seconds": "often",
            "settings.nodes": "-3",
            "settings.seed": "many",
        }

        response = console.post("/add-pool/simulated/", wrong)

        page = response.content.decode()
        assert response.status_code == 422 and "5 fields are wrong" in page
        assert page.count('aria-invalid="true"') == 5
        assert 'value="No Good Name"' in page and not Pool.objects.exists()

    def test_never_shows_a_secret_again(self, console):
        page = console.post("/add-pool/simulated/", FORM | {"name": "No Good Name"}).content.decode()

        assert SECRET not in page and "Secrets are never shown again" in page

    def test_knows_that_a_name_is_taken(self, console, draft):
        response = console.post("/add-pool/simulated/", FORM)

        assert response.status_code == 422 and "Another pool has this name." in response.content.decode()

    def test_takes_no_kind_that_nobody_knows(self, console):
        assert console.get("/add-pool/mainframe/").status_code == 404


class TestCheck:
    def test_refreshes_itself_until_a_worker_was_there(self, console, draft):
        page = console.get("/pools/trial/check/").content.decode()
        waiting = console.get("/pools/trial/check/live/")
        again = console.get("/pools/trial/check/live/", headers={"If-None-Match": waiting.headers["ETag"]})

        assert 'hx-get="/pools/trial/check/live/"' in page and waiting.status_code == 200
        assert again.status_code == 304 and again.content == b""

    def test_says_whether_a_worker_is_at_it(self, console, draft):
        waiting = console.get("/pools/trial/check/live/").content.decode()
        pools.begin_check(draft.pk)
        asked = console.get("/pools/trial/check/live/").content.decode()

        assert "Waiting for a worker." in waiting and "A worker asks the platform." in asked

    def test_shows_itself_whole_when_it_is_done(self, console, checked):
        answer = console.get("/pools/trial/check/live/")
        page = console.get("/pools/trial/check/").content.decode()

        assert answer.headers["HX-Refresh"] == "true"
        assert 'hx-get="/pools/trial/check/live/"' not in page and "Preview the first sync" in page

    def test_says_what_a_refused_credential_means(self, console):
        partitions.ensure(now=timezone.now())
        console.post("/add-pool/simulated/", FORM | {"credential.token": "wrong"})
        checks.run(pool_id=Pool.objects.get().pk, clock=timezone.now)

        page = console.get("/pools/trial/check/").content.decode()

        assert "Replace the credential" in page and "Preview the first sync" not in page

    def test_names_each_permission_that_is_missing(self, console, draft):
        found = {
            "reachable": True,
            "identity": {"key": "k", "label": "Lab", "version": "1"},
            "version": "1",
            "watch": {"ok": False, "missing": ["list nodes", "list pods"]},
            "manage": {"ok": False, "missing": ["create resourcequotas"]},
            "warnings": ["The clock is ahead."],
        }
        PoolSync.objects.filter(pool=draft).update(check_state="done", check_result=found, checked_at=timezone.now())

        page = console.get("/pools/trial/check/").content.decode()

        assert all(
            words in page for words in ("list nodes", "list pods", "create resourcequotas", "The clock is ahead.")
        )
        assert "Preview the first sync" not in page


class TestPreview:
    def test_writes_nothing_and_shows_what_would_be_written(self, console, checked):
        console.post("/pools/trial/preview/")
        run = SyncRun.objects.get()
        waiting = console.get(f"/pools/trial/preview/{run.pk}/").content.decode()
        inventory.run(pool_id=checked.pk, clock=timezone.now)

        page = console.get(f"/pools/trial/preview/{run.pk}/").content.decode()

        assert "data-live" in waiting and "data-live" not in page
        assert "Activate the pool" in page and "node-00001" in page and not Device.objects.exists()

    def test_belongs_to_its_pool(self, console, checked):
        console.post("/pools/trial/preview/")
        console.post("/add-pool/simulated/", FORM | {"name": "other", "settings.fleet": "other"})

        assert console.get(f"/pools/other/preview/{SyncRun.objects.get().pk}/").status_code == 404


class TestActivation:
    def test_begins_with_a_sync_that_one_can_watch(self, console, checked):
        response = console.post("/pools/trial/activate/", follow=True)
        run = SyncRun.objects.get()
        inventory.run(pool_id=checked.pk, clock=timezone.now)

        page = console.get(f"/sync-runs/{run.pk}/").content.decode()

        assert response.redirect_chain[-1][0] == f"/sync-runs/{run.pk}/"
        assert Device.objects.count() == 12 and "created" in page and "node-00001" in page

    def test_is_refused_before_a_check(self, console, draft):
        page = console.post("/pools/trial/activate/", follow=True).content.decode()

        assert "Check the pool first" in page and Pool.objects.get().state == "registering"

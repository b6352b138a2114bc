"""What an operator is told whose pool lies where no worker may connect to: at once where it shows, else by a check."""

import pytest
from django.utils import timezone

from connectors.addresses import BY_DEFAULT
from pools.models import Pool, PoolSync, SyncRun
from pools.reconcile import checks, inventory
from tests.connectors.server import json_answer, serving

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_installed(settings):
    settings.OUTGOING = BY_DEFAULT


def kubernetes(**settings):
    return {"name": "lab", "kind": "kubernetes", "settings": settings, "credential": {"token": "t"}}


class TestAForbiddenAddress:
    @pytest.mark.parametrize(
        "host",
        ["169.254.169.254", "127.0.0.1:6443", "localhost", "2130706433", "[::ffff:127.0.0.1]", "[fd00:ec2::254]"],
    )
    @pytest.mark.parametrize("field", ["api_url", "proxy_url"])
    def test_that_is_written_out_is_refused_with_its_field_and_the_way_out(self, api, host, field):
        answer = api.post("/pools", kubernetes(**{"api_url": "https://pool.example", field: f"https://{host}/"}))

        assert answer.status_code == 422 and not Pool.objects.exists()
        (error,) = answer.data["errors"]
        assert (error["field"], error["code"]) == (f"settings.{field}", "address_denied")
        assert "OCENTER_OUTGOING_ALLOW" in error["detail"]

    def test_is_told_beside_its_field_in_the_console(self, console):
        form = {"name": "lab", "settings.api_url": "https://169.254.169.254", "credential.token": "t"}

        page = console.post("/add-pool/kubernetes/", form)

        assert page.status_code == 422 and "may not connect to this address" in page.content.decode()

    def test_cannot_come_by_an_edit_either(self, api):
        api.post("/pools", kubernetes(api_url="https://pool.example"))

        answer = api("PATCH", "/pools/lab", {"settings": {"api_url": "https://169.254.169.254"}})

        assert answer.status_code == 422 and answer.data["errors"][0]["code"] == "address_denied"

    def test_behind_a_name_or_in_a_credential_is_found_by_check_and_run(self, api, console):
        with serving(lambda seen: json_answer({})) as server:
            config = {
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": server.url}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
            body = kubernetes() | {"credential": {"kubeconfig": str(config)}}
            assert api.post("/pools", body).status_code == 201
            pool = Pool.objects.get()

            checks.run(pool_id=pool.pk, clock=timezone.now)
            Pool.objects.update(state="active", identity="x")
            PoolSync.objects.update(next_at=timezone.now())
            inventory.run(pool_id=pool.pk, clock=timezone.now)

            assert server.requests == []
        checked = api.get("/pools/lab/check").data["error"]
        run = SyncRun.objects.get()
        assert checked["code"] == "address_denied" and "127.0.0.1" in checked["message"]
        assert "may not connect to this address" in console.get("/pools/lab/").content.decode()
        assert run.state == "failed" and run.error["code"] == "address_denied"

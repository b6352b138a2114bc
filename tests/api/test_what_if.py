"""What a request would be answered, over HTTP."""

import pytest
from django.utils import timezone

from pools.models import Allocation, AuditEvent, PoolSync, Quota
from tests.api.tenants import caller
from tests.factories import person, project
from tests.services.asking import H100, World

pytestmark = pytest.mark.django_db(transaction=True)
ASKED = {"project": "acme/vision", "any_of": [{"model": H100}]}


@pytest.fixture
def world():
    world = World(count=2)
    PoolSync.objects.update(observed_at=timezone.now())
    return world


@pytest.fixture
def engineer(world):
    ed = person("ed")
    project("acme/vision", member=ed)
    return caller(ed)


class TestWhatIf:
    def test_tells_what_the_request_is_answered_then_and_writes_nothing(self, engineer):
        before = AuditEvent.objects.filter(object_kind="allocation").count()

        told = engineer.post("/what-if", ASKED | {"devices_per_member": 8})

        assert told.status_code == 200, told.data
        assert (told.data["fits"], told.data["pool"], told.data["model"]) == (True, "lab", H100)
        (candidate,) = told.data["candidates"]
        assert (candidate["pool"], candidate["nodes"]) == ("lab", 2) and told.data["smallest_change"] == []
        assert not Allocation.objects.exists() and AuditEvent.objects.filter(object_kind="allocation").count() == before
        made = engineer.post("/allocations", ASKED | {"devices_per_member": 8})
        assert (made.data["pool"], made.data["model"]) == (told.data["pool"], told.data["model"])
        assert made.data["decision"]["fragmentation_delta"] == candidate["fragmentation_delta"]

    def test_tells_why_not_and_what_would_do(self, engineer):
        asked = ASKED | {"members": 3, "devices_per_member": 8}

        told = engineer.post("/what-if", asked)

        assert told.data["fits"] is False and told.data["reason"]
        assert {each["pool"] for each in told.data["refusals"]} == {"lab"}
        assert all("nodes" not in each for each in told.data["refusals"])
        fewer = next(each for each in told.data["smallest_change"] if each["code"] == "members")
        assert fewer["patch"] == {"members": 2}
        assert engineer.post("/allocations", asked | fewer["patch"]).status_code == 201

    def test_tells_how_much_quota_is_missing_and_what_fits_into_it(self, engineer, world):
        Quota.objects.filter(pk=world.quota.pk).update(nominal_milli=5000)

        told = engineer.post("/what-if", ASKED | {"devices_per_member": 8})

        assert (told.data["fits"], told.data["reason"]) == (False, "quota_exceeded")
        changes = {each["code"]: each for each in told.data["smallest_change"]}
        assert "3 more" in changes["quota"]["detail"]
        patched = ASKED | {"devices_per_member": 8} | changes["devices"]["patch"]
        assert engineer.post("/what-if", patched).data["fits"] is True

    def test_tells_operators_how_many_nodes_refuse(self, api, world):
        told = api("POST", "/what-if", ASKED | {"devices_per_member": 9})

        assert told.data["refusals"][0]["nodes"] == 2

    def test_knows_nothing_of_pools_that_the_project_may_not_use(self, api, world):
        project("umbrella")

        told = api("POST", "/what-if", ASKED | {"project": "umbrella"})

        assert told.data["fits"] is False and told.data["candidates"] == []

"""How much of what there is where, over HTTP."""

import pytest
from django.utils import timezone

from pools.models import CapacityRollup
from pools.services.models import load_catalogue
from tests.api.tenants import caller
from tests.factories import Clock, Shows, device, granted, holding, node, person, pool, project, synced, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def lab(db):
    load_catalogue(now=timezone.now())
    lab = pool("lab")
    used = holding("n2", device("n2-0", index=0, uses=(use(),)))
    synced(lab, Shows(node("n1", devices=2), used), Clock(timezone.now()))
    return lab


class TestCapacity:
    def test_adds_up_for_the_people_of_the_platform(self, api, lab):
        (row,) = api.get("/capacity").data["results"]

        assert (row["pool"], row["model"], row["devices"], row["free_devices"]) == ("lab", "nvidia-h100-80gb", 3, 2)
        parts = sum(row[f"{part}_milli"] for part in ("claimed", "held", "shadow", "faulty", "free"))
        assert row["total_milli"] == parts == 3000 and row["shadow_milli"] == 1000

    def test_tells_tenants_of_their_pools_only_whether_any_is_left(self, api, lab):
        vera = person("vera")
        granted(lab, project("acme", viewer=vera))
        CapacityRollup.objects.create(pool=pool("theirs"), kind="cards", units=1, total_milli=1000)

        (row,) = caller(vera).get("/capacity").data["results"]

        assert row["pool"] == "lab" and row["is_full"] is False
        assert row.keys() == {"id", "pool", "pool_id", "model", "vendor", "profile", "is_full"}

    @pytest.mark.parametrize(
        ("query", "count"), [("pool=lab", 1), ("vendor=nvidia", 1), ("vendor=huawei", 0), ("profile=1g.10gb", 0)]
    )
    def test_is_filtered(self, api, lab, query, count):
        assert len(api.get(f"/capacity?{query}").data["results"]) == count

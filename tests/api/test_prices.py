"""What an hour costs, over HTTP."""

from datetime import timedelta

import pytest
from django.utils import timezone

from pools.domain import ids
from pools.models import AuditEvent, Flavor, Price
from pools.services.models import load_catalogue
from tests.api.tenants import caller
from tests.factories import granted, person, pool, project

pytestmark = pytest.mark.django_db
H100 = "nvidia-h100-80gb"


@pytest.fixture(autouse=True)
def _catalogue(db):
    load_catalogue(now=timezone.now())


@pytest.fixture
def small(db):
    return Flavor.objects.create(id=ids.new_id(), name="small", spec={}, created_at=timezone.now())


def prices(answer):
    assert answer.status_code == 200, answer.data
    return [row["per_hour"] for row in answer.data["results"]]


class TestPrices:
    def test_hold_from_an_instant_on_until_the_next(self, api):
        soon = (timezone.now() + timedelta(days=30)).isoformat()

        first = api("POST", "/prices", {"model": H100, "per_hour": "2.5"})
        second = api("POST", "/prices", {"model": H100, "per_hour": "3.125", "from_at": soon})

        assert (first.status_code, second.status_code) == (201, 201), (first.data, second.data)
        assert prices(api.get("/prices")) == ["3.125000", "2.500000"]
        assert prices(api.get(f"/prices?at={timezone.now():%Y-%m-%dT%H:%M:%S.%fZ}")) == ["2.500000"]
        assert prices(api.get("/prices?at=2099-01-01")) == ["3.125000"]

    def test_are_of_a_profile_a_pool_or_a_flavor_as_well(self, api, small):
        pool("lab")
        for scope in ({"model": H100, "profile": "1g.10gb"}, {"model": H100, "pool": "lab"}, {"flavor": "small"}):
            assert api("POST", "/prices", {"per_hour": 1, **scope}).status_code == 201

        assert len(prices(api.get("/prices"))) == 3
        assert len(prices(api.get("/prices?flavor=small"))) == len(prices(api.get("/prices?pool=lab"))) == 1

    def test_of_the_same_from_the_same_instant_are_told_apart_by_nobody(self, api):
        at = (timezone.now() + timedelta(days=1)).isoformat()
        api("POST", "/prices", {"model": H100, "per_hour": 1, "from_at": at})

        again = api("POST", "/prices", {"model": H100, "per_hour": 2, "from_at": at})

        assert (again.status_code, again.data["code"]) == (409, "price.exists")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"per_hour": -1, "model": H100}, "per_hour"),
            ({"per_hour": 1e30, "model": H100}, "per_hour"),
            ({"per_hour": "0.0000001", "model": H100}, "per_hour"),
            ({"per_hour": "NaN", "model": H100}, "per_hour"),
            ({"per_hour": 1}, "model"),
            ({"per_hour": 1, "model": "nvidia-h100-80g"}, "model"),
            ({"per_hour": 1, "model": H100, "profile": "9g.1gb"}, "profile"),
            ({"per_hour": 1, "flavor": "small", "model": H100}, "model"),
            ({"per_hour": 1, "flavor": "smal"}, "flavor"),
            ({"per_hour": 1, "model": H100, "pool": "made-up"}, "pool"),
            ({"per_hour": 1, "model": H100, "from_at": "2020-01-01T00:00:00Z"}, "from_at"),
        ],
    )
    def test_that_cannot_be_are_refused_with_the_field(self, api, small, body, field):
        refused = api("POST", "/prices", body)

        assert refused.status_code == 422 and field in {wrong["field"] for wrong in refused.data["errors"]}
        assert not Price.objects.exists()

    def test_leave_an_audit_row(self, api):
        api("POST", "/prices", {"model": H100, "per_hour": "2.5"})

        row = AuditEvent.objects.get(action="price.added")
        assert (row.object_name, row.after["per_hour"]) == (H100, "2.5")

    def test_of_a_pool_are_seen_by_those_who_may_use_it(self, api):
        vera = person("vera")
        ours = granted(pool("ours"), project("acme", viewer=vera))
        for name in (ours.name, pool("theirs").name):
            api("POST", "/prices", {"model": H100, "per_hour": 1, "pool": name})

        assert [row["pool"] for row in caller(vera).get("/prices").data["results"]] == ["ours"]

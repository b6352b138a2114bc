"""The demo: what it makes, that it makes it once, and that it goes without a trace in what people use."""

import pytest
from django.utils import timezone

from pools.models import Flavor, Pool, Project, Quota
from pools.reconcile import demo
from pools.services import allocations
from pools.services.bootstrap import load_catalogue
from tests.api.conftest import Api
from tests.factories import ALICE

pytestmark = pytest.mark.django_db(transaction=True)
PAIR = {"project": "demo/vision", "flavor": "demo-pair", "lease_seconds": 3600}


@pytest.fixture
def home(tmp_path):
    load_catalogue()
    demo.ensure(home=tmp_path, clock=timezone.now)
    return tmp_path


class TestTheDemo:
    def test_lets_its_engineer_have_accelerators_with_a_price(self, home):
        engineer = Api(demo.engineers_token(clock=timezone.now))

        made = engineer.post("/allocations", PAIR)

        assert (made.status_code, made.data["state"]) == (201, "active"), made.data
        assert made.data["price_per_hour"] == "2.400000" and made.data["members"][0]["milli"] == 2000

    def test_is_made_once_and_goes_when_nobody_uses_it(self, home):
        made = Api(demo.engineers_token(clock=timezone.now)).post("/allocations", PAIR).data
        demo.ensure(home=home, clock=timezone.now)
        assert Project.objects.count() == 2 and Quota.objects.count() == 2 and Flavor.objects.count() == 1
        allocations.release(allocation_id=made["id"], actor=ALICE, now=timezone.now())

        demo.remove(home=home, clock=timezone.now)

        assert not Pool.objects.filter(removed_at=None).exists()
        assert not Project.objects.exclude(state="archived").exists()
        assert demo.engineers_token(clock=timezone.now) is None

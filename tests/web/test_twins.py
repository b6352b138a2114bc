"""The page of cards that two pools show: which pool gives each out, and how that is changed."""

import pytest
from django.utils import timezone

from pools.models import Capacity, Device
from tests import factories
from tests.factories import Clock, Shows, node

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other(console):
    """The device of the pool ``other``, which showed the card after ``lab``."""
    clock = Clock(timezone.now())
    for name in ("lab", "other"):
        factories.synced(factories.pool(name), Shows(node("a", devices=1)), clock)
    return Device.objects.get(pool__name="other")


class TestThePage:
    def test_tells_which_pool_gives_it_out_and_offers_the_other(self, console, other):
        page = console.get("/seen-twice/").content.decode()

        assert "Given out by" in page and "Let other do it" in page and "Let lab do it" not in page
        assert f"/devices/{other.id}/give-out/" in page

    def test_asks_before_the_other_pool_gives_it_out(self, console, other):
        asked = console.get(f"/devices/{other.id}/give-out/").content.decode()
        assert "In the other pool it counts for nothing." in asked
        assert Capacity.objects.get(pool=other.pool, kind="cards").total_milli == 0

        answer = console.post(f"/devices/{other.id}/give-out/", follow=True).content.decode()

        assert "other gives out" in answer and "Let lab do it" in answer
        assert Capacity.objects.get(pool=other.pool, kind="cards").total_milli == 1000

    def test_says_why_it_stays(self, console, other):
        Capacity.objects.filter(pool__name="lab", kind="cards").update(pos_claimed_milli=[1000])

        answer = console.post(f"/devices/{other.id}/give-out/")

        assert answer.status_code == 422
        assert "has given this card out or promised it" in answer.content.decode()

    def test_is_read_only_for_an_auditor(self, other, client):
        client.force_login(factories.person("eve", "auditor"))

        page = client.get("/seen-twice/").content.decode()

        assert "Given out by" in page and "give-out" not in page
        assert client.post(f"/devices/{other.id}/give-out/").status_code == 403


class TestTheDevice:
    def test_says_that_the_other_pool_gives_it_out(self, console, other):
        page = console.get(f"/devices/{other.id}/").content.decode()

        assert "given out by another pool" in page and "That one gives it out." in page

"""How busy a device was, over HTTP."""

from datetime import timedelta

import pytest

from connectors.contract import Reading
from pools.models import Device
from pools.services import telemetry
from tests.factories import NOW, Clock, Shows, node, pool, synced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def card():
    """A device with three hours: idle, busy, and one of which nobody told anything."""
    lab = pool()
    synced(lab, Shows(node("a")), Clock())
    for hours_ago, told in enumerate(
        ({}, {"utilisation_percent": 90.0, "power_watts": 650.5}, {"utilisation_percent": 0.0})
    ):
        reading = Reading(uuid="GPU-a-0", **told)
        telemetry.store(pool_id=lab.id, readings=[reading, reading], now=NOW - timedelta(hours=hours_ago))
    return Device.objects.get(ref="a-0")


def averages(answer):
    return [row["utilisation_percent_average"] for row in answer.data["results"]]


class TestUsage:
    def test_is_told_by_hour_the_newest_first_and_null_is_not_zero(self, api, card):
        answer = api.get(f"/devices/{card.id}/usage")

        assert averages(answer) == [None, 90.0, 0.0]
        busy = answer.data["results"][1]
        assert (busy["hour_at"], busy["samples"], busy["power_watts_most"]) == ("2026-11-25T11:00:00Z", 2, 650.5)
        assert busy["memory_used_mib_average"] is None

    def test_is_told_from_and_to_an_instant(self, api, card):
        answer = api.get(f"/devices/{card.id}/usage?from=2026-11-25T11:00:00Z&to=2026-11-25T12:00:00Z")

        assert averages(answer) == [90.0]

    def test_comes_in_pages(self, api, card):
        first = api.get(f"/devices/{card.id}/usage?limit=2")
        second = api.get(f"/devices/{card.id}/usage?{first.data['next'].partition('?')[2]}")

        assert averages(first) + averages(second) == [None, 90.0, 0.0] and second.data["next"] is None

    def test_of_an_unknown_device_is_not_found(self, api):
        assert api.get("/devices/00000000-0000-7000-8000-000000000000/usage").status_code == 404

    def test_refuses_what_is_no_instant(self, api, card):
        answer = api.get(f"/devices/{card.id}/usage?from=yesterday")

        assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, "from")

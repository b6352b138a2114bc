"""Named templates of requests, over HTTP."""

import pytest
from django.utils import timezone

from pools.models import AuditEvent, Flavor
from pools.services.models import load_catalogue

pytestmark = pytest.mark.django_db
H100 = "nvidia-h100-80gb"
SPEC = {"devices_per_member": 8, "any_of": [{"model": H100}], "lease_seconds": 86400}


@pytest.fixture(autouse=True)
def _catalogue(db):
    load_catalogue(now=timezone.now())


class TestFlavors:
    def test_are_offered_priced_changed_and_taken_back(self, api):
        made = api("POST", "/flavors", {"name": "h100.8", "spec": SPEC, "description": "A whole host"})
        assert made.status_code == 201, made.data
        api("POST", "/prices", {"flavor": "h100.8", "per_hour": 20})

        shown = api.get("/flavors/h100.8")
        assert (shown.data["spec"], shown.data["price_per_hour"]) == (SPEC, "20.000000")
        changed = api("PATCH", "/flavors/h100.8", {"name": "h100-8"}, headers={"If-Match": shown["ETag"]})
        assert (changed.status_code, changed.data["name"], changed.data["generation"]) == (200, "h100-8", 2)
        assert [row["name"] for row in api.get("/flavors?q=host").data["results"]] == ["h100-8"]

        assert api("DELETE", "/flavors/h100-8").status_code == 204
        assert api.get("/flavors/h100-8").status_code == 404 and not api.get("/flavors").data["results"]
        actions = AuditEvent.objects.filter(object_kind="flavor").order_by("id").values_list("action", flat=True)
        assert list(actions) == ["flavor.made", "flavor.edited", "flavor.removed"]

    def test_have_names_of_their_own_as_long_as_they_are_offered(self, api):
        api("POST", "/flavors", {"name": "small", "spec": SPEC})

        again = api("POST", "/flavors", {"name": "small", "spec": SPEC})
        assert (again.status_code, again.data["code"]) == (409, "flavor.name_taken")
        api("DELETE", "/flavors/small")

        assert api("POST", "/flavors", {"name": "small", "spec": SPEC}).status_code == 201

    def test_are_changed_in_the_version_that_was_read(self, api):
        tag = api("POST", "/flavors", {"name": "small", "spec": SPEC})["ETag"]

        first = api("PATCH", "/flavors/small", {"description": "one"}, headers={"If-Match": tag})
        second = api("PATCH", "/flavors/small", {"description": "two"}, headers={"If-Match": tag})

        assert (first.status_code, second.status_code, second.data["code"]) == (200, 412, "flavor.changed")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": "Small", "spec": SPEC}, "name"),
            ({"name": "small", "spec": {}}, "spec"),
            ({"name": "small", "spec": {"project": "acme"}}, "spec.project"),
            ({"name": "small", "spec": {"any_off": []}}, "spec.any_off"),
            ({"name": "small", "spec": {"any_of": [{"model": "h100"}]}}, "spec.any_of[0].model"),
            ({"name": "small", "spec": {"lease_seconds": -1}}, "spec.lease_seconds"),
            ({"name": "small", "spec": {"topology": {"devices": {"level": "rack"}}}}, "spec.topology.devices.level"),
            ({"name": "small", "spec": SPEC, "description": "x" * 501}, "description"),
        ],
    )
    def test_that_no_request_could_use_are_refused_with_the_field(self, api, body, field):
        refused = api("POST", "/flavors", body)

        assert refused.status_code == 422 and field in {wrong["field"] for wrong in refused.data["errors"]}
        assert not Flavor.objects.exists()

    def test_may_leave_open_what_the_request_has_to_say(self, api):
        assert api("POST", "/flavors", {"name": "near", "spec": {"members": 2}}).status_code == 201

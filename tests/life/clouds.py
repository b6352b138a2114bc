"""Real clouds, with Nova and without it: what was given is read back from Placement, Cyborg and Nova themselves."""

from typing import Any

from keystoneauth1.session import Session

from connectors.openstack import login
from tests.connectors.openstack.backend import Backend
from tests.connectors.openstack.test_backend_servers import IMAGE
from tests.life.platform import Given, Platform, Shape

NEWEST = {"compute": "2.90", "accelerator": "2.3", "placement": "1.38"}
WHOLE = {"any_of": [{"model": "nvidia-h100-80gb"}]}
SHAPES = {
    "placement": (
        Shape("one card", WHOLE),
        Shape("all cards of a host", {**WHOLE, "devices_per_member": 8}),
        Shape("a gang of two", {**WHOLE, "members": 2, "devices_per_member": 2}),
    ),
    "nova": (
        Shape("a server with two cards", {**WHOLE, "devices_per_member": 2}),
        Shape("a gang of two servers", {**WHOLE, "members": 2}),
    ),
}


class OpenStack(Platform):
    """A cloud in one mode."""

    kind = "openstack"

    def __init__(self, backend: Backend, mode: str) -> None:
        self.name, self.mode = f"openstack-{mode}", mode
        self._backend = backend
        self.shapes = SHAPES[mode]
        self._session = Session(auth=login.read(backend.settings(), backend.credential).plugin)

    @property
    def settings(self) -> dict[str, Any]:
        return {**self._backend.settings("federation"), "server_image": IMAGE}

    @property
    def credential(self) -> dict[str, Any]:
        return self._backend.credential

    def picture(self) -> dict[str, Any]:
        """Who has what of every provider, and all requests, profiles, servers and flavors."""
        told: dict[str, Any] = {"taken": self._taken(), "requests": self._requests()}
        told["profiles"] = self._ask("accelerator", "/device_profiles")["device_profiles"]
        if self.mode == "nova":
            for path in ("/servers/detail?all_tenants=1", "/flavors/detail?is_public=None"):
                told[path] = self._ask("compute", path)
        return told

    def prove(self, given: Given) -> str:
        requests = self._requests()
        consumers = [self._consumer(delivery) for delivery in given.deliveries]
        for delivery, consumer in zip(given.deliveries, consumers, strict=True):
            own = [each for each in requests if each["instance_uuid"] == consumer]
            assert {each["state"] for each in own} == {"Bound"}, own
            taken = {provider for provider, who in self._taken().items() if consumer in who}
            assert taken == {each["device_rp_uuid"] for each in own}, (taken, own)
            assert len(delivery["facts"]["devices"].split()) == len(own)
        asked = given.shape.body.get("members", 1) * given.shape.body.get("devices_per_member", 1)
        assert len(requests) == asked, "somebody else has a card, or one is missing"
        if self.mode == "placement":
            providers = {device["attributes"]["provider"] for device in given.devices}
            assert providers == {each["device_rp_uuid"] for each in requests}
        hosts = sorted({each["hostname"] for each in requests})
        what = "running server" if self.mode == "nova" else "consumer"
        return f"{len(consumers)} {what}(s) with {asked} card(s) of {', '.join(hosts)} bound; nobody else has any"

    def prove_ended(self, given: Given) -> str:
        taken, requests = self._taken(), self._requests()
        for delivery in given.deliveries:
            known = delivery["facts"].get("consumer") or delivery["facts"]["server"]
            assert not any(known in who for who in taken.values())
            assert not any(each["instance_uuid"] == known for each in requests)
        return "nothing is allocated or bound to it"

    def _consumer(self, delivery: Any) -> str:
        facts = delivery["facts"]
        if self.mode == "placement":
            return str(facts["consumer"])
        told = self._ask("compute", f"/servers/{facts['server']}")
        assert (told["server"]["status"], told["server"]["name"]) == ("ACTIVE", facts["name"])
        return str(facts["server"])

    def _taken(self) -> dict[str, Any]:
        """The accelerators that each provider gave away, by who has them."""
        found = {}
        for provider in self._ask("placement", "/resource_providers")["resource_providers"]:
            taken = self._ask("placement", f"/resource_providers/{provider['uuid']}/allocations")["allocations"]
            gpus = {who: each["resources"] for who, each in taken.items() if "VCPU" not in each["resources"]}
            if gpus:
                found[provider["uuid"]] = gpus
        return found

    def _requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("accelerator", "/accelerator_requests")["arqs"]
        return sorted(found, key=lambda each: str(each["uuid"]))

    def _ask(self, service: str, path: str) -> Any:
        """Ask a service as the person whose platform it is."""
        where = {"service_type": service}
        return self._session.get(path, endpoint_filter=where, microversion=NEWEST[service]).json()

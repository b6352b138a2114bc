"""A small cloud in memory that takes changes: Placement's and Cyborg's rules as the real services showed them."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.connectors.openstack.double import Double, Served
from tests.connectors.server import Answer, Seen, json_answer, serving

STRANGER = str(uuid.UUID(int=77))
WRITES = ("PUT", "POST", "PATCH", "DELETE")
SERVICE_WORDS = "This operation requires a service token. Use the Compute API to manage instance accelerators."


def uuid_of(text: str) -> str:
    """Return the same uuid for the same text."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


class Live(Double):
    """Hosts with cards of one slot, or of ``slots``. ``needs_service_token`` is False on clouds of before 2026.

    ``consumers``: what Placement keeps a consumer; ``requests`` and ``profiles``: what Cyborg keeps. ``refuses_patch``
    answers 400 to each binding and binds, as Cyborg does beside a Nova that does not know the consumer.
    """

    def __init__(self, hosts: int = 3, cards: int = 4, slots: int = 1) -> None:
        super().__init__("idle")
        self.lock = threading.RLock()
        self.slots = slots
        self.needs_service_token = True
        self.refuses_patch = False
        self.token["token"]["roles"] = [{"id": "1", "name": "admin"}, {"id": "2", "name": "service"}]
        self.consumers: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.profiles: list[dict[str, Any]] = []
        self.hosts = [f"host-{number:03}" for number in range(hosts)]
        self.cards = {
            uuid_of(f"rp {host} {card}"): (host, f"{host}_0000:{card + 16:02x}:00.0")
            for host in self.hosts[: hosts - 1 or 1]
            for card in range(cards)
        }

    # --- what a test asks and does ------------------------------------------------------------------------------------

    @property
    def resource_class(self) -> str:
        """The class of all cards."""
        return "PGPU" if self.slots == 1 else "VGPU"

    @property
    def roles(self) -> set[str]:
        """Names of the roles that every token carries."""
        return {role["name"] for role in self.token["token"]["roles"]}

    def take_role(self, name: str) -> None:
        """Take a role away from the account; its tokens end with that."""
        with self.lock:
            roles = self.token["token"]["roles"]
            roles[:] = [role for role in roles if role["name"] != name]
            self.tokens.clear()

    def used(self, provider: str) -> int:
        """Units of a card that Placement gives out."""
        return sum(
            sum(taken["resources"].values())
            for consumer in self.consumers.values()
            for where, taken in consumer["allocations"].items()
            if where == provider
        )

    def take(self, provider: str, consumer: str, **more: Any) -> None:
        """Let somebody else have a card in Placement."""
        self.consumers[consumer] = {
            "allocations": {provider: {"resources": {self.resource_class: 1}}},
            "consumer_generation": 1,
            "project_id": "5" * 32,
            "user_id": "6" * 32,
            "consumer_type": "INSTANCE",
            **more,
        }

    def bind(self, provider: str, instance: str, **more: Any) -> None:
        """Let somebody else have a card in Cyborg."""
        host, _ = self.cards[provider]
        fields = {"device_rp_uuid": provider, "instance_uuid": instance, "hostname": host, "state": "Bound"}
        self.requests.append({**_request("h100", "5" * 32), **fields, **more})

    def lose(self) -> None:
        """Let somebody delete what there is of every target."""
        self.consumers.clear()

    # --- answering ----------------------------------------------------------------------------------------------------

    def _find(self, seen: Seen, version: str) -> Answer:
        with self.lock:
            _, service, *rest = seen.path.split("/")
            if service == "placement":
                return self._placement(seen, rest, json.loads(seen.body or b"null"))
            if service == "accelerator":
                return self._cyborg(seen, rest[1:], json.loads(seen.body or b"null"))
            return json_answer({"error": {"message": "nothing here"}}, status=404)

    def _placement(self, seen: Seen, path: list[str], body: Any) -> Answer:
        match seen.method, path:
            case "GET", [""]:
                return json_answer({"versions": [{"max_version": ".".join(map(str, self.newest["placement"]))}]})
            case "GET", ["resource_providers"]:
                return json_answer({"resource_providers": self._providers(seen.query)})
            case "GET", ["allocation_candidates"]:
                return json_answer({"provider_summaries": self._summaries(seen.query)})
            case "GET", ["resource_providers", provider, what]:
                return self._of_provider(provider, what)
            case "GET", ["allocations", consumer]:
                return json_answer(self.consumers.get(consumer, {"allocations": {}}))
            case "PUT", ["allocations", consumer]:
                return self._allocate(consumer, body)
        return _words("placement", 404, f"nothing at {seen.path}")

    def _providers(self, query: dict[str, str]) -> list[dict[str, Any]]:
        roots = {host: uuid_of(host) for host in self.hosts}
        found: list[dict[str, Any]] = [
            {"uuid": root, "name": host, "root_provider_uuid": root, "parent_provider_uuid": None}
            for host, root in roots.items()
        ]
        found += [
            {"uuid": rp, "name": name, "root_provider_uuid": roots[host], "parent_provider_uuid": roots[host]}
            for rp, (host, name) in self.cards.items()
        ]
        if tree := query.get("in_tree"):
            root = next((each["root_provider_uuid"] for each in found if each["uuid"] == tree), None)
            return [each for each in found if each["root_provider_uuid"] == root]
        return [] if "uuid" in query else found

    def _summaries(self, query: dict[str, str]) -> dict[str, Any]:
        memory = {"resources": {"MEMORY_MB": {"capacity": 1024, "used": 0}}, "traits": []}
        found: dict[str, Any] = {uuid_of(host): memory for host in self.hosts}
        for provider in self.cards:
            amount = {"capacity": self.slots, "used": self.used(provider)}
            found[provider] = {"resources": {self.resource_class: amount}, "traits": ["OWNER_CYBORG"]}
        return found

    def _of_provider(self, provider: str, what: str) -> Answer:
        if provider not in self.cards:
            return _words("placement", 404, f"No resource provider with uuid {provider} found")
        answers: dict[str, Any] = {
            "inventories": {self.resource_class: {"total": self.slots}},
            "usages": {self.resource_class: self.used(provider)},
            "traits": ["OWNER_CYBORG"],
            "allocations": {
                uuid: {"resources": kept["allocations"][provider]["resources"]}
                for uuid, kept in self.consumers.items()
                if provider in kept["allocations"]
            },
        }
        return json_answer({what: answers[what]})

    def _allocate(self, uuid: str, body: Any) -> Answer:
        if "admin" not in self.roles:
            return _words("placement", 403, "Policy does not allow placement:allocations:update to be performed.")
        if "allocations" not in body:
            return _words("placement", 400, "JSON does not validate: 'allocations' is a required property")
        known = self.consumers.get(uuid)
        if body["consumer_generation"] != (known["consumer_generation"] if known else None):
            return _words("placement", 409, "consumer generation conflict", "placement.concurrent_update")
        self.consumers.pop(uuid, None)
        for provider, wanted in body["allocations"].items():
            room = self.slots - self.used(provider)
            if sum(wanted["resources"].values()) > room:
                if known:
                    self.consumers[uuid] = known
                return _words("placement", 409, "The requested amount would exceed the capacity.")
        if body["allocations"]:
            generation = (known["consumer_generation"] if known else 0) + 1
            self.consumers[uuid] = {**body, "consumer_generation": generation}
        return Answer(status=204)

    def _cyborg(self, seen: Seen, path: list[str], body: Any) -> Answer:
        is_service = ("x-service-token" in seen.headers and "service" in self.roles) or not self.needs_service_token
        match seen.method, path:
            case "GET", ["deployables"]:
                return json_answer({"deployables": [self._deployable(rp) for rp in self.cards]})
            case "GET", ["deployables", ref]:
                found = next((each for rp in self.cards if (each := self._deployable(rp))["uuid"] == ref), None)
                return json_answer(found) if found else _words("accelerator", 404, f"no deployable {ref}")
            case "GET", ["devices"]:
                return json_answer({"devices": [self._device(rp) for rp in self.cards]})
            case "GET", ["device_profiles"]:
                name = seen.query.get("name")
                found_profiles = [each for each in self.profiles if name in (None, each["name"])]
                return json_answer({"device_profiles": found_profiles})
            case "GET", ["accelerator_requests"]:
                return json_answer({"arqs": self.requests})
            case "PATCH", ["accelerator_requests"]:
                return self._patch(body) if is_service else _words("accelerator", 403, SERVICE_WORDS)
            case "DELETE", ["accelerator_requests"]:
                return self._delete(seen.query, is_service)
            case "POST", ["accelerator_requests"]:
                return self._ask(body["device_profile_name"])
        if "admin" not in self.roles:
            return _words("accelerator", 403, "Access was denied to the following resource: cyborg:device_profile")
        return self._change_profiles(seen.method, path, body)

    def _change_profiles(self, method: str, path: list[str], body: Any) -> Answer:
        if method == "DELETE":
            kept = [each for each in self.profiles if each["uuid"] != path[1]]
            is_there, self.profiles = len(kept) < len(self.profiles), kept
            return Answer(status=204) if is_there else _words("accelerator", 404, "Device Profile not found")
        if len(body) != 1:
            return _words("accelerator", 400, "Only one device profile allowed per POST request for now.")
        if any(each["name"] == body[0]["name"] for each in self.profiles):
            return _words("accelerator", 409, "A device profile with this name exists")
        self.profiles.append({**body[0], "uuid": str(uuid.uuid4())})
        return json_answer(self.profiles[-1], status=201)

    def _ask(self, name: str) -> Answer:
        profile = next((each for each in self.profiles if each["name"] == name), None)
        if profile is None:
            return _words("accelerator", 404, f"Device Profile not found with name={name}")
        count = _slots(profile)
        made = [_request(name, self.token["token"]["project"]["id"]) for _ in range(count)]
        self.requests += made
        return json_answer({"arqs": made}, status=201)

    def _patch(self, body: dict[str, Any]) -> Answer:
        wanted = {ref: {op["path"].lstrip("/"): op["value"] for op in ops} for ref, ops in body.items()}
        instance = next(iter(wanted.values()))["instance_uuid"]
        if any(each["instance_uuid"] == instance for each in self.requests):
            return _words("accelerator", 400, f"Instance {instance} already has accelerator requests.")
        for request in self.requests:
            if (fields := wanted.get(request["uuid"])) is None:
                continue
            provider = fields["device_rp_uuid"]
            request.update(fields, state="BindStarted")
            if provider not in self.cards:
                return _words("accelerator", 404, f"Deployable not found by rp {provider}")
            bound = [each for each in self.requests if each["device_rp_uuid"] == provider and each["state"] == "Bound"]
            if len(bound) >= self.slots:
                request["state"] = "BindFailed"
                return _words("accelerator", 404, "AttachHandle not found")
            bus = self.cards[provider][1].split(":")[1]
            handle = {"domain": "0000", "bus": bus, "device": "00", "function": "0"}
            request.update(state="Bound", attach_handle_info=handle)
        if self.refuses_patch:
            return _words("accelerator", 400, f"Unexpected event code 404 for instance {instance}")
        return Answer(status=202)

    def _delete(self, query: dict[str, str], is_service: bool) -> Answer:
        instance, refs = query.get("instance"), query.get("arqs", "").split(",")
        if instance and not is_service:
            return _words("accelerator", 403, SERVICE_WORDS)
        if not instance and len([each for each in self.requests if each["uuid"] in refs]) < len(refs):
            return _words("accelerator", 404, "ExtArq not found")
        self.requests = [
            each
            for each in self.requests
            if each["uuid"] not in refs and (not instance or each["instance_uuid"] != instance)
        ]
        return Answer(status=204)

    def _deployable(self, rp: str) -> dict[str, Any]:
        trait = "CUSTOM_NVIDIA_2330" if self.slots == 1 else "CUSTOM_NVIDIA_1EB8_T4_2Q"
        attributes = [{"rc": self.resource_class}, {"trait0": "OWNER_CYBORG"}, {"trait1": trait}]
        return {
            "uuid": uuid_of(f"deployable {rp}"),
            "name": self.cards[rp][1],
            "num_accelerators": self.slots,
            "rp_uuid": rp,
            "attributes_list": json.dumps(attributes),
        }

    def _device(self, rp: str) -> dict[str, Any]:
        return {
            "uuid": uuid_of(f"device {rp}"),
            "hostname": self.cards[rp][0],
            "vendor": "10de",
            "model": "NVIDIA Corporation GH100 [H100 SXM5 80GB]",
            "std_board_info": '{"product_id": "2330"}',
            "status": "enabled",
        }


def _request(profile: str, project: str) -> dict[str, Any]:
    fields = dict.fromkeys(("instance_uuid", "device_rp_uuid", "hostname"))
    return {
        **fields,
        "uuid": str(uuid.uuid4()),
        "state": "Initial",
        "device_profile_name": profile,
        "project_id": project,
    }


def _slots(profile: dict[str, Any]) -> int:
    resources = [item for group in profile["groups"] for item in group.items() if item[0].startswith("resources:")]
    return sum(int(value) for _, value in resources)


def _words(service: str, status: int, words: str, code: str = "placement.undefined_code") -> Answer:
    if service == "placement":
        return json_answer({"errors": [{"status": status, "detail": words, "code": code}]}, status=status)
    return json_answer({"error_message": json.dumps({"faultcode": "Client", "faultstring": words})}, status=status)


def is_write(seen: Seen) -> bool:
    """Whether a request changes something on the platform."""
    return seen.method in WRITES and not seen.path.endswith("/auth/tokens")


@contextmanager
def living(double: Live | None = None) -> Iterator[tuple[Live, Served]]:
    """Run a live cloud for the time of a block."""
    double = double or Live()
    address: list[str] = []
    with serving(lambda seen: double.handler(address[0], seen)) as server:
        address.append(server.url)
        yield double, Served(double, server)


def list_calls_of_a_look(devices: int = 508, hosts: int = 64) -> int:
    """Return how many calls one observation of a cloud of this size makes, the log-in left out."""
    with living(Live(hosts=hosts + 1, cards=-(-devices // hosts))) as (_, cloud):
        list(cloud.connector().observe(None))
        return sum(seen.method == "GET" for seen in cloud.server.requests)

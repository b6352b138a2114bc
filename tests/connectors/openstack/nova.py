"""The live cloud with a Nova beside it, which boots servers with a device profile as the real one did."""

import json
import uuid
from collections import Counter
from typing import Any

from tests.connectors.openstack.live import Live, _request, _slots
from tests.connectors.server import Answer, Seen, json_answer

LAUNCHED, HYPERVISOR = "OS-SRV-USG:launched_at", "OS-EXT-SRV-ATTR:hypervisor_hostname"
NO_HOST = "No valid host was found. "


class LiveWithNova(Live):
    """``builds_for`` is how often a server is told to be in BUILD. ``loses_races`` servers find no host, with room."""

    def __init__(self, slots: int = 1) -> None:
        super().__init__(slots=slots)
        self.servers: dict[str, dict[str, Any]] = {}
        self.flavors: dict[str, dict[str, Any]] = {}
        self.builds_for = 0
        self.loses_races = 0

    def lose(self) -> None:
        """Let somebody delete what there is of every target."""
        super().lose()
        self.servers.clear()
        self.requests = []

    def _find(self, seen: Seen, version: str) -> Answer:
        if not seen.path.startswith("/compute"):
            return super()._find(seen, version)
        with self.lock:
            path = [part for part in seen.path.split("/")[2:] if not part.startswith("v2")]
            return self._nova(seen, path, json.loads(seen.body or b"null"))

    def _nova(self, seen: Seen, path: list[str], body: Any) -> Answer:
        match seen.method, path:
            case "GET", ["servers", "detail"]:
                return json_answer({"servers": [self._told(each) for each in self.servers.values()]})
            case "GET", ["os-hypervisors", "detail"]:
                return json_answer({"hypervisors": []})
            case "GET", ["os-services"]:
                return json_answer({"services": []})
            case "GET", ["flavors", ref]:
                return json_answer({"flavor": self.flavors[ref]}) if ref in self.flavors else _words(404, "no flavor")
            case "POST", ["servers"]:
                return self._boot(body["server"])
            case "PUT", ["servers", ref, "metadata", key]:
                if ref not in self.servers:
                    return _words(404, "no server")
                self.servers[ref]["metadata"][key] = body["meta"][key]
                return json_answer(body)
            case "DELETE", ["servers", ref]:
                return self._remove(ref)
        return self._change_flavors(seen.method, path, body)

    def _change_flavors(self, method: str, path: list[str], body: Any) -> Answer:
        if "admin" not in self.roles:
            return _words(403, "Policy does not allow os_compute_api:os-flavor-manage to be performed.")
        match method, path:
            case "POST", ["flavors"]:
                flavor = body["flavor"]
                if flavor["id"] in self.flavors:
                    return _words(409, "Flavor exists")
                self.flavors[flavor["id"]] = {**flavor, "extra_specs": {}, "tenants": set()}
                return json_answer({"flavor": flavor})
            case "POST", ["flavors", ref, _] if ref not in self.flavors:
                return _words(404, "no flavor")
            case "POST", ["flavors", ref, "action"]:
                tenant = body["addTenantAccess"]["tenant"]
                if tenant in self.flavors[ref]["tenants"]:
                    return _words(409, "Flavor access already exists")
                self.flavors[ref]["tenants"].add(tenant)
                return json_answer({})
            case "POST", ["flavors", ref, "os-extra_specs"]:
                self.flavors[ref]["extra_specs"].update(body["extra_specs"])
                return json_answer(body)
            case "DELETE", ["flavors", ref]:
                return Answer(status=202) if self.flavors.pop(ref, None) else _words(404, "no flavor")
        return _words(404, "nothing here")

    def _boot(self, wanted: dict[str, Any]) -> Answer:
        if "admin" not in self.roles:
            return _words(403, "Policy does not allow compute:servers:create:requested_destination to be performed.")
        if wanted["flavorRef"] not in self.flavors:
            return _words(400, "Flavor could not be found.")
        ref = str(uuid.uuid4())
        flavor = self.flavors[wanted["flavorRef"]]
        name, host = flavor["extra_specs"]["accel:device_profile"], wanted["hypervisor_hostname"]
        server = {"id": ref, "name": wanted["name"], "metadata": wanted["metadata"], "reads": self.builds_for}
        server["flavor"] = {key: flavor[key] for key in ("vcpus", "ram", "disk")}
        self.servers[ref] = {**server, "status": "ACTIVE", "addresses": {"net": [{"addr": "192.0.2.7"}]}}
        taken = self._schedule(next(each for each in self.profiles if each["name"] == name), host)
        if self.loses_races or not taken:
            self.loses_races = max(0, self.loses_races - 1)
            self.servers[ref] |= {"status": "ERROR", "fault": {"message": NO_HOST}}
            return json_answer({"server": {"id": ref}}, status=202)
        self.servers[ref] |= {LAUNCHED: "2026-01-01T00:00:00.000000", HYPERVISOR: host}
        project = self.token["token"]["project"]["id"]
        allocations = {rp: {"resources": {self.resource_class: count}} for rp, count in taken.items()}
        self.take(next(iter(taken)), ref, allocations=allocations, project_id=project)
        for rp in taken.elements():
            fields = {"device_rp_uuid": rp, "instance_uuid": ref, "hostname": host, "state": "Bound"}
            self.requests.append({**_request(name, project), **fields})
        return json_answer({"server": {"id": ref}}, status=202)

    def _schedule(self, profile: dict[str, Any], host: str) -> Counter[str]:
        """Return units by card of the host, each group of the profile on one card; none when there is no room."""
        taken: Counter[str] = Counter()
        for group in profile["groups"]:
            count = _slots({"groups": [group]})
            rooms = (rp for rp, (where, _) in self.cards.items() if where == host)
            found = next((rp for rp in rooms if self.slots - self.used(rp) - taken[rp] >= count), None)
            if found is None:
                return Counter()
            taken[found] += count
        return taken

    def _remove(self, ref: str) -> Answer:
        if self.servers.pop(ref, None) is None:
            return _words(404, "no server")
        self.consumers.pop(ref, None)
        self.requests = [each for each in self.requests if each["instance_uuid"] != ref]
        return Answer(status=204)

    def _told(self, server: dict[str, Any]) -> dict[str, Any]:
        if server["reads"] and server["status"] == "ACTIVE":
            server["reads"] -= 1
            return {**server, "status": "BUILD", LAUNCHED: None}
        return server


def _words(status: int, words: str) -> Answer:
    return json_answer({"error": {"code": status, "message": words}}, status=status)

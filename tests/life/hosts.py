"""Real sshd hosts, whose accounts tenants log in to."""

import json
from pathlib import Path
from typing import Any

from tests.connectors.baremetal.prepared import PREPARED, SNAPSHOT, Person, Real
from tests.life.platform import Given, Platform, Shape

REFUSED = 255
"""What ssh exits with when nobody may log in."""


class Hosts(Platform):
    """The prepared hosts with their controllers, where one tenant has a key and another person has one, too."""

    name = "hosts"
    kind = "baremetal"
    mode = "device"

    def __init__(self, real: Real, folder: Path) -> None:
        self.real = real
        self.person, self.stranger = Person(real, folder), Person(real, folder)
        access = {"access": {"ssh_keys": [self.person.public]}}
        gb300 = {"any_of": [{"model": "nvidia-gb300-288gb"}], **access}
        ascend = {"any_of": [{"model": "huawei-ascend-910b2"}], **access}
        self.shapes = (
            Shape("one card", {**gb300, "devices_per_member": 1}),
            Shape("all cards of a host", {**gb300, "devices_per_member": 4}),
            Shape("a gang of two on one host", {**gb300, "members": 2, "devices_per_member": 1}),
            Shape("three cards of another vendor", {**ascend, "devices_per_member": 3}),
        )

    @property
    def settings(self) -> dict[str, Any]:
        controlled = [{**self.real.backend.listed(name), **self._controller(name)} for name in PREPARED]
        return {"site": "walk", "hosts": json.dumps(controlled), "bmc_user": "admin"}

    @property
    def credential(self) -> dict[str, Any]:
        (password,) = {self.real.backend.hosts[name]["redfish"]["password"] for name in PREPARED}
        return {**self.real.backend.credential, "bmc_password": password}

    def picture(self) -> dict[str, str]:
        """Accounts, keys, rules, device nodes with their access control lists, and programs of lessees."""
        script = f"{SNAPSHOT}; ps -eo user:32,args | grep ^oc- || true"
        return {name: self.real.root(name, script) for name in PREPARED}

    def prove(self, given: Given) -> str:
        wanted = self._nodes(given)
        opened: dict[str, set[str]] = {}
        for host, account in self._accounts(given):
            mine = self.person.opens(account, *self._all_nodes(host), host=host)
            assert mine, f"{account} opens nothing"
            opened.setdefault(host, set())
            assert not opened[host] & set(mine), "two members open one card"
            opened[host] |= set(mine)
            self._prove_closed(host, account)
        assert opened == wanted, (opened, wanted)
        lines = [f"{', '.join(sorted(nodes))} of {host}" for host, nodes in sorted(opened.items())]
        others = sum(len(self._all_nodes(host)) for host in opened) - sum(map(len, opened.values()))
        accounts = len(self._accounts(given))
        return f"logged in as {accounts} account(s): opens {'; '.join(lines)}, and none of {others} others"

    def prove_ended(self, given: Given) -> str:
        for host, account in self._accounts(given):
            assert self.person.runs(account, "true", host).returncode == REFUSED
        return "the key is refused"

    def _prove_closed(self, host: str, account: str) -> None:
        """Nobody else gets in, and who is in gets no further."""
        assert self.stranger.runs(account, "true", host).returncode == REFUSED
        assert self.person.runs(account, "sudo -n true", host).returncode != 0
        assert self.person.runs(account, "id -un; id -Gn", host).stdout.split() == [account, account]
        variable = self.person.runs(account, "env | grep VISIBLE_DEVICES", host).stdout.strip()
        assert variable, "programs are not told which cards they have"

    def _accounts(self, given: Given) -> list[tuple[str, str]]:
        """Host and account of each delivery, which names address, port and fingerprint of a host that we know."""
        known = {way["ssh"]["address"]: name for name, way in self.real.backend.hosts.items()}
        found = []
        for each in given.deliveries:
            facts = each["facts"]
            host = known[facts["host"]]
            assert facts["port"] == str(self.real.backend.hosts[host]["ssh"]["port"])
            assert facts["fingerprint"] == self.real.ref(host) and each["secrets"] == {}
            found += [(host, account) for account in facts["account"].split(", ")]
        return found

    def _nodes(self, given: Given) -> dict[str, set[str]]:
        """The device nodes of exactly the devices that REST says were given, by host."""
        found: dict[str, set[str]] = {}
        for device in given.devices:
            host = device["node_name"]
            cards = self.real.backend.expected(host)["cards"]
            (card,) = [card for card in cards if device["pci_address"].lower().endswith(card["bus"].lower())]
            found.setdefault(host, set()).update(card["nodes"])
        return found

    def _all_nodes(self, host: str) -> list[str]:
        return [node for card in self.real.backend.expected(host)["cards"] for node in card["nodes"]]

    def _controller(self, name: str) -> dict[str, Any]:
        redfish = self.real.backend.hosts[name]["redfish"]
        trusted = Path(redfish["ca"]).read_text()
        return {"bmc": {"address": redfish["address"], "port": redfish["port"], "certificate": trusted}}

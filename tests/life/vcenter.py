"""A real vSphere API server: there is nothing to log in to in its VMs, so what was given is read back over its API."""

from collections import Counter
from typing import Any

from pyVmomi import vim

from tests.connectors.vsphere.backend import Backend
from tests.life.platform import Given, Platform, Shape

Pci = vim.vm.device.VirtualPCIPassthrough
H100 = {"any_of": [{"model": "nvidia-h100-pcie-80gb"}]}
SHAPES = {
    "vgpu": (
        Shape("half a card", {"any_of": [{"vendor": "nvidia", "profile": "a100-20c"}]}),
        Shape("a VM with two", {"any_of": [{"vendor": "nvidia", "profile": "a100-20c"}], "devices_per_member": 2}),
        Shape("a gang of two VMs", {"any_of": [{"vendor": "nvidia", "profile": "a100-20c"}], "members": 2}),
    ),
    "directpath": (
        Shape("one whole card", H100),
        Shape("two whole cards of a host", {**H100, "devices_per_member": 2}),
    ),
}


class VSphere(Platform):
    """A vCenter in one mode. ``picture`` tells all VMs but for their clocks, and which of them holds which GPU."""

    kind = "vsphere"

    def __init__(self, backend: Backend, mode: str) -> None:
        self.name, self.mode = f"vsphere-{mode}", mode
        self._backend = backend
        self.shapes = SHAPES[mode]

    @property
    def settings(self) -> dict[str, Any]:
        return self._backend.settings

    @property
    def credential(self) -> dict[str, Any]:
        return self._backend.credential

    def picture(self) -> dict[str, Any]:
        vms = {
            seen.values["name"]: (
                seen.values["runtime.powerState"],
                sorted(f"{each.key}={each.value}" for each in seen.values["config.extraConfig"]),
            )
            for seen in self._backend.vms()
        }
        return {"vms": vms, "claims": self._backend.claims()}

    def prove(self, given: Given) -> str:
        cards: list[str] = []
        names = []
        for delivery in given.deliveries:
            machine = self._find(delivery)
            assert machine is not None and machine.name == delivery["facts"]["vm"]
            assert machine.runtime.powerState == "poweredOn"
            names.append(machine.name)
            cards += self._cards(machine)
        assert sorted(cards) == self._ordered(given), (cards, given.allocation)
        held = Counter(str(claim["VM"]) for claim in self._backend.claims())
        assert held.total() == len(cards) and len(held) == len(names), (held, names)
        return f"{len(names)} running VM(s) with {', '.join(sorted(cards))}; no other VM holds anything"

    def prove_ended(self, given: Given) -> str:
        assert all(self._find(delivery) is None for delivery in given.deliveries)
        return "the VM is gone"

    def _find(self, delivery: Any) -> Any:
        index = self._backend.admin.content.searchIndex
        return index.FindByUuid(None, delivery["facts"]["instance_uuid"], True, True)

    @staticmethod
    def _cards(machine: Any) -> list[str]:
        """The profile of each vGPU of a VM, the address of each whole card."""
        backings: list[Any] = [each.backing for each in machine.config.hardware.device if isinstance(each, Pci)]
        return [str(each.vgpu if isinstance(each, Pci.VmiopBackingInfo) else each.id) for each in backings]

    @staticmethod
    def _ordered(given: Given) -> list[str]:
        if given.devices and not given.shape.body["any_of"][0].get("profile"):
            return sorted(str(device["pci_address"]) for device in given.devices)
        count = given.shape.body.get("members", 1) * given.shape.body.get("devices_per_member", 1)
        return [f"grid_{given.shape.body['any_of'][0]['profile']}"] * count

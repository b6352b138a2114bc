"""A VM of the double, as its hosts have it and as vCenter tells it."""

from datetime import UTC, datetime
from typing import Any

from pyVmomi import vim

from tests.connectors.vsphere.double_gpus import Device
from tests.connectors.vsphere.double_inventory import Host, Thing, uuid_of


class Vm(Thing):
    """A VM or a template. ``changes`` counts its versions; one that is not readable has lost its files."""

    def __init__(self, ref: Any, name: str, parent: Thing, host: Host, spec: Any) -> None:
        super().__init__(ref, name, parent)
        self.host = host
        self.is_on = self.is_suspended = False
        self.is_readable = True
        self.datastore = host.datastores[0]
        self.changes = 0
        self.extra: dict[str, str] = {}
        self.devices: list[Any] = [vim.vm.device.VirtualPCIController(key=100, busNumber=0)]
        self.uuid = spec.uuid or uuid_of(f"bios {ref._moId}")
        self.instance_uuid = spec.instanceUuid or uuid_of(f"instance {ref._moId}")
        self.cpus, self.memory_mib, self.is_reserved, self.is_template = 1, 1024, False, False
        self.address = ""
        host.vms.append(self)

    @property
    def gpu_devices(self) -> list[Any]:
        return [device for device in self.devices if isinstance(device, Device)]

    @property
    def power_state(self) -> str:
        return "suspended" if self.is_suspended else "poweredOn" if self.is_on else "poweredOff"

    @property
    def change_version(self) -> str:
        return f"2026-11-26T00:00:00.000000Z.{self.changes}"

    def edit(self, spec: Any) -> None:
        """Take over what a ConfigSpec says; an extraConfig entry with an empty value goes."""
        self.changes += 1
        self.cpus, self.memory_mib = spec.numCPUs or self.cpus, spec.memoryMB or self.memory_mib
        if spec.memoryReservationLockedToMax is not None:
            self.is_reserved = spec.memoryReservationLockedToMax
        for change in spec.deviceChange:
            if change.operation == "remove":
                self.devices = [device for device in self.devices if device.key != change.device.key]
            else:
                change.device.key = max(12999, *(device.key for device in self.devices)) + 1
                self.devices.append(change.device)
        self.extra.update({option.key: str(option.value) for option in spec.extraConfig})
        self.extra = {key: value for key, value in self.extra.items() if value}

    def shown(self) -> dict[str, Any]:
        more = {"runtime": self._runtime, "guest": self._guest, "customValue": [], "datastore": [self.datastore.ref]}
        return {**super().shown(), **more, **({"config": self._config} if self.is_readable else {})}

    def _runtime(self) -> Any:
        return vim.vm.RuntimeInfo(
            host=self.host.ref,
            powerState=self.power_state,
            connectionState="connected" if self.host.state == "connected" else "disconnected",
            faultToleranceState="notConfigured",
            toolsInstallerMounted=False,
            numMksConnections=0,
            recordReplayState="inactive",
            onlineStandby=False,
            consolidationNeeded=False,
        )

    def _config(self) -> Any:
        return vim.vm.ConfigInfo(
            changeVersion=self.change_version,
            modified=datetime(2026, 11, 26, tzinfo=UTC),
            name=self.name,
            uuid=self.uuid,
            instanceUuid=self.instance_uuid,
            template=self.is_template,
            guestFullName="Other",
            guestId="otherGuest64",
            alternateGuestName="",
            version="vmx-21",
            files=vim.vm.FileInfo(vmPathName=f"[{self.datastore.name}] {self.name}/{self.name}.vmx"),
            flags=vim.vm.FlagInfo(),
            defaultPowerOps=vim.vm.DefaultPowerOpInfo(),
            hardware=vim.vm.VirtualHardware(numCPU=self.cpus, memoryMB=self.memory_mib, device=self.devices),
            memoryReservationLockedToMax=self.is_reserved,
            memoryAllocation=vim.ResourceAllocationInfo(reservation=self.memory_mib if self.is_reserved else 0),
            cpuAllocation=vim.ResourceAllocationInfo(reservation=0),
            extraConfig=[vim.option.OptionValue(key=key, value=value) for key, value in sorted(self.extra.items())],
        )

    def _guest(self) -> Any:
        return vim.vm.GuestInfo(guestState="running" if self.is_on else "notRunning", ipAddress=self.address or None)

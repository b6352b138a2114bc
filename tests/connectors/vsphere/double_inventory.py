"""What the double's vCenter has: folders, clusters, hosts with GPUs and VMs, each shown as pyVmomi's own objects."""

import uuid
from datetime import UTC, datetime
from typing import Any

from pyVmomi import vim

from tests.connectors.vsphere.double_gpus import LEAVES_THE_GRAPHICS, Gpu

MIB, GIB = 2**20, 2**30
INTEL = 0x8086
BOOTED_AT = datetime(2026, 10, 1, tzinfo=UTC)


def uuid_of(text: str) -> str:
    """Return the same uuid for the same text."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


class Thing:
    """A managed object. ``shown`` returns its properties by their first names, or what makes them when it is asked for.

    What is not there has no value.
    """

    def __init__(self, ref: Any, name: str = "", parent: "Thing | None" = None) -> None:
        self.ref = ref
        self.name = name
        self.parent = parent
        self.children: list[Thing] = []
        if parent is not None:
            parent.children.append(self)

    def shown(self) -> dict[str, Any]:
        return {"name": self.name, "parent": self.parent and self.parent.ref, "overallStatus": "green"}

    def below(self) -> "list[Thing]":
        """All that is under it, at any depth."""
        return [found for child in self.children for found in (child, *child.below())]


class Folder(Thing):
    def shown(self) -> dict[str, Any]:
        return {**super().shown(), "childEntity": [child.ref for child in self.children]}


class Datacenter(Thing):
    def shown(self) -> dict[str, Any]:
        folders = {f"{child.name}Folder": child.ref for child in self.children}
        return {**super().shown(), **folders}


class Datastore(Thing):
    def __init__(self, ref: Any, name: str, parent: Thing, free_gib: int) -> None:
        super().__init__(ref, name, parent)
        self.free_gib = free_gib
        self.is_accessible = True

    def shown(self) -> dict[str, Any]:
        summary = vim.Datastore.Summary(
            name=self.name,
            url=f"ds:///{self.name}",
            capacity=1024 * GIB,
            freeSpace=self.free_gib * GIB,
            accessible=self.is_accessible,
            maintenanceMode="normal",
            type="VMFS",
        )
        return {**super().shown(), "summary": summary}


class Cluster(Thing):
    """With its resource pool and environment browser, which are managed objects of their own."""

    resource_pool: Thing
    browser: Thing

    @property
    def hosts(self) -> "list[Host]":
        return [child for child in self.children if isinstance(child, Host)]

    def shown(self) -> dict[str, Any]:
        return {
            **super().shown(),
            "host": [host.ref for host in self.hosts],
            "resourcePool": self.resource_pool.ref,
            "environmentBrowser": self.browser.ref,
        }


class Host(Thing):
    """``state`` is its connection to vCenter."""

    datastores: list[Datastore]
    product: Any

    def __init__(self, ref: Any, name: str, parent: Thing, gpus: list[Gpu]) -> None:
        super().__init__(ref, name, parent)
        self.uuid = uuid_of(f"host {name}")
        self.gpus = gpus
        self.vms: list[Any] = []
        self.state = "connected"
        self.is_in_maintenance = False
        self.cpu_cores = 64
        self.memory_bytes = 1024 * GIB

    def shown(self) -> dict[str, Any]:
        return {
            **super().shown(),
            "vm": [vm.ref for vm in self.vms],
            "datastore": [datastore.ref for datastore in self.datastores],
            "network": [],
            "hardware": self._hardware,
            "summary": self._summary,
            "runtime": self._runtime,
            "config": self._config,
        }

    def _runtime(self) -> Any:
        return vim.host.RuntimeInfo(
            connectionState=self.state,
            powerState="poweredOn",
            inMaintenanceMode=self.is_in_maintenance,
            standbyMode="none",
            bootTime=BOOTED_AT,
        )

    def _hardware(self) -> Any:
        chipset = vim.host.PciDevice(
            id="0000:00:00.0",
            classId=0x0600,
            bus=0,
            slot=0,
            function=0,
            vendorId=signed(INTEL),
            subVendorId=signed(INTEL),
            vendorName="Intel Corporation",
            deviceId=0x09A2,
            subDeviceId=0,
            deviceName="Ice Lake Memory Map",
        )
        return vim.host.HardwareInfo(
            systemInfo=vim.host.SystemInfo(vendor="Dell Inc.", model="PowerEdge R750xa", uuid=self.uuid),
            cpuInfo=vim.host.CpuInfo(numCpuPackages=2, numCpuCores=self.cpu_cores, numCpuThreads=128, hz=2_000_000_000),
            cpuPkg=[
                vim.host.CpuPackage(
                    index=0, vendor="intel", hz=2_000_000_000, busHz=100, description="Xeon", threadId=[0]
                )
            ],
            smcPresent=False,
            memorySize=self.memory_bytes,
            pciDevice=[chipset, *(gpu.pci_device() for gpu in self.gpus)],
        )

    def _summary(self) -> Any:
        hardware = vim.host.Summary.HardwareSummary(
            vendor="Dell Inc.",
            model="PowerEdge R750xa",
            uuid=self.uuid,
            memorySize=self.memory_bytes,
            cpuModel="Xeon",
            cpuMhz=2000,
            numCpuPkgs=2,
            numCpuCores=self.cpu_cores,
            numCpuThreads=2 * abs(self.cpu_cores),
            numNics=2,
            numHBAs=1,
        )
        running = [vm for vm in self.vms if vm.is_on]
        stats = vim.host.Summary.QuickStats(
            overallCpuUsage=1000 * len(running), overallMemoryUsage=sum(vm.memory_mib for vm in running)
        )
        return vim.host.Summary(
            host=self.ref,
            hardware=hardware,
            quickStats=stats,
            runtime=self._runtime(),
            config=vim.host.Summary.ConfigSummary(name=self.name, port=443, vmotionEnabled=True),
            overallStatus="green",
            rebootRequired=False,
        )

    def _config(self) -> Any:
        well = [gpu for gpu in self.gpus if not gpu.is_failed]
        profiles = list(dict.fromkeys(profile.name for gpu in well for profile in gpu.profiles()))
        can = {"suspendSupported": True, "migrateSupported": True}
        cannot = {"diskSnapshotSupported": False, "memorySnapshotSupported": False}
        return vim.host.ConfigInfo(
            host=self.ref,
            product=self.product,
            graphicsInfo=[_graphics(gpu) for gpu in well if gpu.mode != LEAVES_THE_GRAPHICS],
            graphicsConfig=vim.host.GraphicsConfig(
                hostDefaultGraphicsType="sharedDirect", sharedPassthruAssignmentPolicy="performance"
            ),
            sharedPassthruGpuTypes=profiles,
            sharedGpuCapabilities=[vim.host.SharedGpuCapabilities(vgpu=name, **can, **cannot) for name in profiles],
            pciPassthruInfo=[_passthrough(gpu) for gpu in self.gpus],
            assignableHardwareBinding=[
                vim.host.AssignableHardwareBinding(instanceId=gpu.address, vm=claim.vm)
                for gpu in self.gpus
                if gpu.mode == LEAVES_THE_GRAPHICS
                for claim in gpu.claims
            ],
        )


def signed(number: int) -> int:
    """A PCI id as vSphere tells it: a signed short."""
    return number - 0x10000 if number > 0x7FFF else number


def _graphics(gpu: Gpu) -> Any:
    return vim.host.GraphicsInfo(
        deviceName=gpu.chip.name,
        vendorName="NVIDIA Corporation",
        pciId=gpu.address,
        graphicsType="sharedDirect",
        vgpuMode="multiInstanceGpu" if gpu.mode == "mig" else "sameSize",
        memorySizeInKB=gpu.chip.memory_gib * MIB,
        vm=[claim.vm for claim in gpu.claims],
    )


def _passthrough(gpu: Gpu) -> Any:
    is_direct = gpu.mode == LEAVES_THE_GRAPHICS
    return vim.host.PciPassthruInfo(
        id=gpu.address,
        dependentDevice=gpu.address,
        passthruCapable=True,
        passthruEnabled=is_direct,
        passthruActive=is_direct,
    )

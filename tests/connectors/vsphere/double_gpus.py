"""The GPUs of the double's hosts: which profiles a chip offers, and whether a GPU takes one more of them.

This is our model of admission. That ESXi places alike is not proven by it.
Sources: NVIDIA vGPU user guide (one size a time-sliced GPU), NVIDIA MIG user guide (where GPU instances may begin).
"""

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct
from pyVmomi import vim

NVIDIA = 0x10DE
MEMORY_SLICES = 8
LEAVES_THE_GRAPHICS = "directpath"

Device = vim.vm.device.VirtualPCIPassthrough


class Profile(Struct, frozen=True):
    """A vGPU type. Those backed by MIG take ``slices`` of memory from one of ``starts``; the others share time."""

    name: str
    memory_gib: int
    slices: int = 0
    starts: tuple[int, ...] = ()


class Chip(Struct, frozen=True):
    code: str
    name: str
    device_id: int
    memory_gib: int
    shares_gib: tuple[int, ...]

    def time_sliced(self) -> list[Profile]:
        return [Profile(f"grid_{self.code}-{gib}c", gib) for gib in self.shares_gib]

    def mig(self) -> list[Profile]:
        gib = self.memory_gib
        shapes = [
            (7, gib, 8, (0,)),
            (4, gib // 2, 4, (0,)),
            (3, gib // 2, 4, (0, 4)),
            (2, gib // 4, 2, (0, 2, 4)),
            (1, gib // 8, 1, (0, 1, 2, 3, 4, 5, 6)),
        ]
        return [Profile(f"grid_{self.code}-{cut}-{size}c", size, slices, at) for cut, size, slices, at in shapes]


A100 = Chip("a100", "NVIDIA A100-PCIE-40GB", 0x20F1, 40, (40, 20, 10, 8, 5, 4))
H100 = Chip("h100", "NVIDIA H100 PCIe", 0x2331, 80, (80, 40, 20, 16, 10, 8, 5, 4))


class Claim(Struct, frozen=True):
    vm: Any
    profile: Profile | None = None
    start: int = 0


class Gpu(Struct):
    """One GPU of a host. ``claims`` are of VMs that run."""

    address: str
    mode: Literal["vgpu", "mig", "directpath"]
    chip: Chip
    is_failed: bool = False
    claims: list[Claim] = []

    def profiles(self) -> list[Profile]:
        """The vGPU types of its mode, whether or not it is well."""
        if self.mode == LEAVES_THE_GRAPHICS:
            return []
        return self.chip.mig() if self.mode == "mig" else self.chip.time_sliced()

    def start_of(self, profile: Profile) -> int | None:
        """Where one more of the profile begins; None when there is no room."""
        if self.is_failed or profile not in self.profiles():
            return None
        held = [claim.profile for claim in self.claims if claim.profile]
        if not profile.slices:
            is_one_size = all(other.memory_gib == profile.memory_gib for other in held)
            has_room = sum(other.memory_gib for other in held) + profile.memory_gib <= self.chip.memory_gib
            return 0 if is_one_size and has_room else None
        busy = {
            claim.start + number for claim in self.claims if claim.profile for number in range(claim.profile.slices)
        }
        fitting = (at for at in profile.starts if not busy & set(range(at, at + profile.slices)))
        return next(fitting, None)

    def pci_device(self) -> Any:
        bus = int(self.address.split(":")[1], 16)
        return vim.host.PciDevice(
            id=self.address,
            classId=0x0302,
            bus=bus,
            slot=0,
            function=0,
            vendorId=NVIDIA,
            subVendorId=NVIDIA,
            vendorName="NVIDIA Corporation",
            deviceId=self.chip.device_id,
            subDeviceId=0x145F,
            deviceName=self.chip.name,
        )


def claim(gpus: list[Gpu], vm: Any, devices: list[Any], reserved: bool) -> None:
    """Claim GPUs for all devices of a VM, or raise what vCenter says and claim none."""
    if devices and not reserved:
        raise _config_fault("Invalid memory setting: memory reservation should be equal to memory size.")
    try:
        for device in devices:
            _claim_one(gpus, vm, device.backing)
    except vim.fault.VimFault:
        release(gpus, vm)
        raise


def release(gpus: list[Gpu], vm: Any) -> None:
    """Let go of all that a VM has."""
    for gpu in gpus:
        gpu.claims = [claim for claim in gpu.claims if claim.vm != vm]


def _claim_one(gpus: list[Gpu], vm: Any, backing: Any) -> None:
    if isinstance(backing, Device.VmiopBackingInfo):
        offered = {profile.name: profile for gpu in gpus for profile in gpu.profiles()}
        if backing.vgpu not in offered:
            raise _config_fault(f"vGPU profile {backing.vgpu} is not supported by the host.")
        profile = offered[backing.vgpu]
        room = [(gpu, start) for gpu in gpus if (start := gpu.start_of(profile)) is not None]
        if not room:
            raise vim.fault.InsufficientGraphicsResourcesFault(msg="The amount of graphics resource is insufficient.")
        gpu, start = min(room, key=lambda found: len(found[0].claims))
        gpu.claims = [*gpu.claims, Claim(vm, profile, start)]
        return
    free = next((gpu for gpu in _whole(gpus, backing) if not gpu.claims and not gpu.is_failed), None)
    if free is None:
        raise _config_fault("Device is already in use or not available on the host.")
    free.claims = [Claim(vm)]
    if isinstance(backing, Device.DynamicBackingInfo):
        backing.assignedId = free.address


def _whole(gpus: list[Gpu], backing: Any) -> Iterator[Gpu]:
    for gpu in gpus:
        if gpu.mode != LEAVES_THE_GRAPHICS:
            continue
        if isinstance(backing, Device.DynamicBackingInfo):
            kinds = {(kind.vendorId, kind.deviceId) for kind in backing.allowedDevice}
            if (NVIDIA, gpu.chip.device_id) in kinds:
                yield gpu
        elif gpu.address == backing.id:
            yield gpu


def _config_fault(reason: str) -> Exception:
    fault: Exception = vim.fault.GenericVmConfigFault(reason=reason, msg=reason)
    return fault

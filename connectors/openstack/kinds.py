"""What a server is made of: a device profile and a private flavor, each named as its target. Pure.

Nova neither resizes nor moves a server with accelerators, so what a built server is can only be compared.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from connectors.contract import Order, Target
from connectors.openstack.claims import Claim
from connectors.openstack.marks import Mark
from connectors.openstack.payloads import Flavor, Profile
from connectors.openstack.there import BOUND, Made

PROFILE_SPEC = "accel:device_profile"


class Size(Struct, frozen=True):
    """What an order asks of a host beside cards."""

    vcpus: int
    ram_mib: int


def size(order: Order) -> Size:
    """Return whole CPUs that are enough, and the least that Nova boots or more."""
    return Size(max(1, -(-order.cpu_milli // 1000)), max(512, order.host_memory_mib))


def description(mark: Mark) -> str:
    """Return the mark of a profile or a flavor, which no generation changes."""
    return str(Mark(installation=mark.installation, allocation=mark.allocation, marker=mark.marker))


def profile(target: Target, claim: Claim) -> dict[str, object]:
    """Return the device profile to make."""
    return {"name": target.ref, "description": description(claim.mark), "groups": claim.groups}


def flavor(target: Target, order: Order, mark: Mark, disk_gib: int) -> dict[str, object]:
    """Return the flavor to make, without its access and its extra specs."""
    return {
        "id": target.ref,
        "name": target.ref,
        "description": description(mark),
        "vcpus": size(order).vcpus,
        "ram": size(order).ram_mib,
        "disk": disk_gib,
        "os-flavor-access:is_public": False,
    }


def is_profile(known: Profile, wanted: Mapping[str, object], claim: Claim) -> bool:
    """Whether a device profile is the one to make. Nova chooses the cards, so units are compared by kind."""
    return known.description == wanted["description"] and _units(known.groups) == _units(claim.groups)


def is_flavor(known: Flavor, wanted: Mapping[str, object]) -> bool:
    """Whether a flavor is the one to make."""
    told = {"description": known.description, "vcpus": known.vcpus, "ram": known.ram, "disk": known.disk}
    return all(wanted[name] == value for name, value in told.items())


def differences(there: Made, order: Order, cards: int, host: str | None) -> Sequence[str]:
    """Return in words what a server is and what is ordered instead. What Nova does not tell differs from nothing."""
    if (server := there.server) is None:
        return ()
    bound = sum(each.state == BOUND for each in there.requests)
    compared = (
        ("vCPUs", server.flavor.vcpus, size(order).vcpus),
        ("MiB of memory", server.flavor.ram, size(order).ram_mib),
        ("cards", bound if server.launched_at else None, cards),
        ("as its host", server.hypervisor if host else None, host),
    )
    return [f"{has} {name}, not {wanted}" for name, has, wanted in compared if has is not None and has != wanted]


def _units(groups: Iterable[Mapping[str, str]]) -> Counter[tuple[str, ...]]:
    """Return units by class and traits."""
    found: Counter[tuple[str, ...]] = Counter()
    for group in groups:
        traits = sorted(f"{key}={value}" for key, value in group.items() if key.startswith("trait:"))
        for key, value in group.items():
            if key.startswith("resources:"):
                found[(key, *traits)] += int(value)
    return found

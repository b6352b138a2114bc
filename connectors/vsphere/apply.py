"""To make a VM carry exactly the given orders, and to say what that would take."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from pyVmomi import vim

from connectors.contract import (
    Absent,
    Call,
    Done,
    Found,
    NoCapacity,
    Order,
    Outcome,
    Pending,
    Permanent,
    Plan,
    Target,
    Transient,
)
from connectors.vsphere import release, vm
from connectors.vsphere.faults import AFTER_SECONDS, AlreadySo, Duplicate, LostRace, translated
from connectors.vsphere.place import Place, named, offers_all, place_of
from connectors.vsphere.tasks import Client, StillRunning, read, wait

MOST_TRIES = 3
DEFAULT_MEMORY_MIB, DEFAULT_CPUS = 4096, 2


class Step(Struct, frozen=True, kw_only=True):
    """One call: how it is told, and how its task is started from the VM as it is then (None before it is made)."""

    call: Call
    start: Callable[[Any], Any]


def plan(client: Client, installation: str, target: Target, orders: Sequence[Order]) -> Plan:
    """Return the calls that ``apply`` would make now."""
    found = vm.find(client, target)
    orders = named(client, target, orders, found.host if found else None)
    return Plan(calls=tuple(step.call for step in _steps(client, installation, target, orders, found)))


def apply(client: Client, installation: str, target: Target, orders: Sequence[Order]) -> Outcome:
    """Make the VM carry exactly these orders; see ``Connector.apply`` for what it raises."""
    made: list[Call] = []
    for _ in range(MOST_TRIES):
        found = vm.find(client, target)
        try:
            spelled = named(client, target, orders, found.host if found else None)
            return _carry(client, installation, target, spelled, found, made)
        except (Duplicate, LostRace):
            made.pop()  # it had no effect
    raise Transient(
        f"{target.ref} is changed by somebody else all the time. ocenter reads it again later.", code="conflict"
    )


def probe(client: Client, installation: str, target: Target) -> Found | Absent:
    """Return what the VM carries. A tenant's VM on which nothing of ours is counts as absent."""
    found = vm.find(client, target)
    if found is None or (target.is_tenants and not found.marks):
        return Absent()
    return vm.tell(client, installation, found)


def _carry(
    client: Client,
    installation: str,
    target: Target,
    orders: Sequence[Order],
    found: vm.Machine | None,
    made: list[Call],
) -> Outcome:
    there = found.ref if found else None
    for step in _steps(client, installation, target, orders, found):
        made.append(step.call)
        try:
            result = _take(client, step, there)
        except StillRunning:
            return Pending(after_seconds=AFTER_SECONDS, changes=tuple(made))
        except (NoCapacity, Permanent) as error:
            is_taken = there is not None and release.is_taken(client, there)
            if found is None and there is not None:
                release.destroy(client, there)
            if is_taken and error.code == "rejected":
                raise NoCapacity(
                    "The host gave a device to another VM already. Take another.", platform_words=error.platform_words
                ) from error
            host = found.host if found else None
            if error.code == "rejected" and not target.is_tenants and not offers_all(client, target, orders, host):
                raise NoCapacity(
                    "The host cuts its cards otherwise; another may do.", platform_words=error.platform_words
                ) from error
            raise
        if there is None:
            there = result or _made(client, target)
    after = probe(client, installation, target)
    _confirm(client, target, orders, after, there)
    return Done(found=after, changes=tuple(made))


def _take(client: Client, step: Step, there: Any) -> Any:
    try:
        with translated(client.host):
            task = step.start(there)
        return _ended(client, step, there, task) if task is not None else None
    except AlreadySo:
        return None
    except Permanent as error:
        if error.code != "not_found" or there is None:
            raise
        if step.call.verb not in ("power_off", "destroy"):
            raise LostRace from error  # somebody removed the VM; what is there now decides
        return None


def _ended(client: Client, step: Step, there: Any, task: Any) -> Any:
    try:
        return wait(client, task)
    except Transient:
        if step.call.verb == "destroy" and read(client, there, ["name"]) is None:
            return None  # an earlier task, whose answer was lost, was still at it
        raise


def _made(client: Client, target: Target) -> Any:
    found = vm.find(client, target)
    if found is None:
        raise _unconfirmed(target)
    return found.ref


def _confirm(client: Client, target: Target, orders: Sequence[Order], after: Found | Absent, there: Any) -> None:
    wanted = tuple(sorted(order.marker for order in orders))
    if isinstance(after, Absent):
        is_done = not orders and not release.is_shown(client, target, there)
    else:
        is_done = bool(orders) and (after.generation, after.markers) == (target.generation, wanted)
    if not is_done:
        raise _unconfirmed(target)


def _unconfirmed(target: Target) -> Transient:
    return Transient(
        f"vCenter said done, and {target.ref} is not as ordered. ocenter asks again what is there.",
        code="unconfirmed",
    )


def _steps(
    client: Client, installation: str, target: Target, orders: Sequence[Order], found: vm.Machine | None
) -> list[Step]:
    if found is None:
        if target.is_tenants and orders:
            raise Permanent(f"There is no VM {target.ref}; name another or make it.", code="not_found")
        return _creating(client, installation, target, orders) if orders else []
    _refuse(installation, target, orders, found)
    if not orders:
        return _giving_back(installation, target, found)
    return _changing(client, installation, target, orders, found)


def _refuse(installation: str, target: Target, orders: Sequence[Order], found: vm.Machine) -> None:
    owner = found.marks.get(vm.INSTALLATION)
    if owner != installation and (owner is not None or not target.is_tenants):
        raise Permanent(
            f"{found.name} was not given out by this ocenter and is left alone. Take another VM or remove it yourself.",
            code="not_ours",
        )
    if target.generation < found.generation:
        raise Permanent(
            f"{found.name} already carries generation {found.generation}; {target.generation} is older and was not "
            "applied.",
            code="stale_generation",
        )
    if target.is_tenants and orders and owner is None and not found.is_off:
        raise Permanent(
            f"{found.name} runs; vSphere attaches GPUs to a VM that is off. Switch it off and ask again.",
            code="rejected",
        )


def _creating(client: Client, installation: str, target: Target, orders: Sequence[Order]) -> list[Step]:
    place = place_of(client, target)
    words = [word for order in orders for word in vm.wanted(order)]
    spec = vim.vm.ConfigSpec(
        name=target.ref,
        instanceUuid=vm.instance_uuid(target),
        numCPUs=max(1, -(-sum(order.cpu_milli for order in orders) // 1000)) if _asks(orders) else DEFAULT_CPUS,
        memoryMB=sum(order.host_memory_mib for order in orders) or DEFAULT_MEMORY_MIB,
        memoryReservationLockedToMax=True,
        deviceChange=_added(words, place),
        extraConfig=vm.marks(installation, target, orders),
    )
    body = {**_told(target, words), "uuid": spec.instanceUuid, "cpus": spec.numCPUs, "memory_mib": spec.memoryMB}
    if place.template is not None:
        spec.deviceChange = [*vm.removed(place.inherited), *spec.deviceChange]
        return [
            Step(
                call=Call(verb="clone", object=f"vm/{target.ref}", body=body),
                start=lambda _: place.template.CloneVM_Task(place.folder, target.ref, place.clone(spec)),
            ),
            _on(target.ref, place.host),
        ]
    spec.guestId = "otherGuest64"
    spec.files = vim.vm.FileInfo(vmPathName=f"[{place.datastore_name}]")
    return [
        Step(
            call=Call(verb="create", object=f"vm/{target.ref}", body=body),
            start=lambda _: place.folder.CreateVM_Task(spec, place.resource_pool, place.host),
        ),
        _on(target.ref, place.host),
    ]


def _changing(
    client: Client, installation: str, target: Target, orders: Sequence[Order], found: vm.Machine
) -> list[Step]:
    words = sorted(word for order in orders for word in vm.wanted(order))
    marks = vm.marks(installation, target, orders)
    kept = _ours(target, words, found)
    is_same_devices = sorted(kept) == words and vm.has_all(found.attached(), {"": words})
    is_same = is_same_devices and found.is_reserved and vm.is_marked(found, marks)
    off = [] if found.is_off or (is_same_devices and found.is_reserved) else [_off(target.ref)]
    steps: list[Step] = []
    if not is_same:
        added: list[Any] = []
        if not is_same_devices:
            removed = vm.removing(found, kept)
            added = removed + _added(words, place_of(client, target, found.host))
        spec = vim.vm.ConfigSpec(changeVersion=found.change_version, extraConfig=marks, deviceChange=added)
        if not found.is_reserved:
            spec.memoryReservationLockedToMax = True
        steps += [*off, _reconfigured(target, words, spec)]
    return steps + ([_on(target.ref, found.host)] if off or not found.is_on else [])


def _ours(target: Target, wanted: Sequence[str], found: vm.Machine) -> list[str]:
    """Return the devices that are ours: of a tenant's VM those on our list, or those wanted where the list is lost."""
    if not target.is_tenants:
        return found.attached()
    if found.orders or not found.marks:
        return [word for ordered in found.orders.values() for word in ordered]
    return list((Counter(found.attached()) & Counter(wanted)).elements())


def _giving_back(installation: str, target: Target, found: vm.Machine) -> list[Step]:
    if target.is_tenants and not found.marks:
        return []
    off = [] if found.is_off else [_off(target.ref)]
    if target.is_tenants:
        words = [word for ordered in found.orders.values() for word in ordered]
        if not words:
            raise Permanent(
                f"{found.name} lost its list of the GPUs that ocenter gave it ({vm.ORDERS}). Take them and the VM's "
                "entries ocenter.* off yourself; it then counts as given back.",
                code="conflict",
            )
        spec = vim.vm.ConfigSpec(
            changeVersion=found.change_version,
            extraConfig=vm.no_marks(),
            deviceChange=vm.removing(found, words),
        )
        return [*off, _reconfigured(target, [], spec)]
    guard = vim.vm.ConfigSpec(changeVersion=found.change_version, extraConfig=vm.marks(installation, target, []))
    gone = Step(call=Call(verb="destroy", object=f"vm/{target.ref}"), start=release.start_destroying)
    if found.generation == target.generation and not found.orders:
        return [*off, gone]
    return [_reconfigured(target, [], guard), *off, gone]


def _reconfigured(target: Target, words: Sequence[str], spec: Any) -> Step:
    return Step(
        call=Call(verb="reconfigure", object=f"vm/{target.ref}", body=_told(target, words)),
        start=lambda there: there.ReconfigVM_Task(spec),
    )


def _on(name: str, host: Any) -> Step:
    """Switch on where its GPUs were chosen: without a host a DRS cluster may take another."""
    return Step(call=Call(verb="power_on", object=f"vm/{name}"), start=lambda there: there.PowerOnVM_Task(host))


def _off(name: str) -> Step:
    return Step(call=Call(verb="power_off", object=f"vm/{name}"), start=release.start_switching_off)


def _added(words: Sequence[str], place: Place) -> list[Any]:
    return [
        vim.vm.device.VirtualDeviceSpec(operation="add", device=vm.device(word, place.passthrough, -1 - number))
        for number, word in enumerate(words)
    ]


def _told(target: Target, words: Sequence[str]) -> dict[str, Any]:
    return {"generation": target.generation, "devices": list(words)}


def _asks(orders: Sequence[Order]) -> bool:
    return any(order.cpu_milli for order in orders)

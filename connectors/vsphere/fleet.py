"""The hosts of a vCenter, and of its VMs those that have or may have a device.

Hosts and the places of VMs are read in two sweeps. VMs on cards, VMs that are off and VMs beside cards that their host
does not drive are read with their devices; of the latter two only those whose version is new to the cursor. Likewise
the PCI devices of a host are read when its cards may have changed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyVmomi import vim

from connectors.contract import NodeFact
from connectors.vsphere import hosts, machines, privileges
from connectors.vsphere.client import Client, Seen
from connectors.vsphere.hosts import PASSTHROUGH, PCI_DEVICES, Host, Layout
from connectors.vsphere.known import HostKnown, Known, Layouts, digest, digest_of
from connectors.vsphere.mapping import node_fact
from connectors.vsphere.places import Places
from connectors.vsphere.sizes import Sizes
from connectors.vsphere.uses import Machine

_HOSTS_PER_ANSWER, _VMS_PER_ANSWER = 100, 1000
_HOSTS_AT_ONCE, _VMS_AT_ONCE = 50, 250
_MAY_NOT_SEE = "The account may not read the whole inventory, so hosts and VMs may be missing."
_NO_UUID = "Hosts without a hardware uuid are left out."
_HIDDEN_CARDS = "The cards of some hosts may not be read: those hosts take nothing new."
_HIDDEN_PCI = "The PCI devices of some hosts may not be read: DirectPath cards and failed cards of theirs are not seen."
_HIDDEN_PLACES = "The place or the power state of some VMs may not be read, so use may be missing."
_HIDDEN_VMS = "Some VMs that are on cards may not be read: those cards count as used up."


class Fleet:
    """What is known of one vCenter: read at once, and kept up to date by what it tells later.

    ``gaps`` say what was hidden, ``warnings`` what is strange. Its methods raise what the client raises.
    """

    def __init__(self, client: Client, installation: str, before: Known) -> None:
        self.gaps: list[str] = []
        self.warnings: list[str] = []
        self.paths = hosts.paths(client.content.about.apiVersion)
        self._client = client
        self._installation = installation
        self._before = before
        self._hosts: dict[str, Host] = {}
        self._vms: dict[str, Seen] = {}
        self._vms_on: dict[str, set[str]] = {}
        self._layouts = Layouts()
        self._slots: dict[str, Layout] = {}
        self._told: dict[str, HostKnown] = {}
        self._gone: set[str] = set()
        self._plain: dict[str, str] = {}
        self._sizes = Sizes(client, before.sizes)
        self._places = Places(client)

    def read_all(self) -> None:
        """Sweep the VMs before the hosts: a VM that a card names is then known, or new and read by itself."""
        self.check_sight()
        for page in self._client.sweep(vim.VirtualMachine, machines.PLACE, page_size=_VMS_PER_ANSWER):
            for seen in page:
                self.take_vm(seen)
        for page in self._client.sweep(vim.HostSystem, self.paths, page_size=_HOSTS_PER_ANSWER):
            for seen in page:
                self.take_host(seen)

    def check_sight(self) -> None:
        """Note a gap unless all objects are shown: vCenter leaves out in silence what an account may not see."""
        if not privileges.watch(self._client).ok:
            self._lack(_MAY_NOT_SEE)

    def take_vm(self, seen: Seen) -> None:
        """Note where a VM is."""
        moid = str(seen.ref._GetMoId())
        self.drop_vm(moid)
        self._vms[moid] = seen
        self._vms_on.setdefault(machines.host_of(seen.values), set()).add(moid)
        if not seen.unknown.isdisjoint(machines.PLACE):
            self._lack(_HIDDEN_PLACES)

    def drop_vm(self, moid: str) -> None:
        """Forget a VM that is gone."""
        if (seen := self._vms.pop(moid, None)) is not None:
            self._vms_on[machines.host_of(seen.values)].discard(moid)

    def take_host(self, seen: Seen) -> None:
        """Note a host as it is now."""
        host = hosts.host(seen.ref, seen.values, seen.unknown)
        self._hosts[host.moid] = host
        if host.hidden:
            self._lack(_HIDDEN_CARDS)
        shown = [card.address for card in host.graphics]
        for address in sorted({address for address in shown if shown.count(address) > 1}):
            self._warn(f"Host {host.name} shows the card at {address} more than once; it is counted once.")

    def drop_host(self, moid: str) -> None:
        """Forget a host that is gone."""
        self._hosts.pop(moid, None)

    def hosts(self) -> list[Host]:
        """Return the hosts by uuid. Of several with the same uuid, such as one registered anew, the living one."""
        found: dict[str, Host] = {}
        alive_last = sorted(self._hosts.values(), key=lambda host: (host.state == "connected", host.moid))
        for host in alive_last:
            if not host.uuid:
                self._lack(_NO_UUID)
                continue
            if host.uuid in found:
                other = found[host.uuid]
                self._warn(
                    f"Hosts {other.name} ({other.moid}) and {host.name} ({host.moid}) have the same hardware uuid; "
                    "only the second is counted."
                )
            found[host.uuid] = host
        return sorted(found.values(), key=lambda host: host.uuid)

    def facts(self, wanted: Sequence[Host]) -> list[NodeFact]:
        """Return the facts of these hosts, after reading what else they take."""
        self._read_slots(wanted)
        read = self._read_machines(wanted)
        now = [self._hosts.get(host.moid, host) for host in wanted]
        self._sizes.learn(now, [name for machine in read.values() for name in machine.profiles])
        self._places.read(host.parent for host in now)
        on: dict[str, dict[str, Machine]] = {}
        for vm, machine in read.items():
            on.setdefault(machine.host, {})[vm] = machine
        return [self._fact(host, {**on.get(host.moid, {}), **_named(host, read)}) for host in now]

    def changed(self, moids: Iterable[str]) -> list[NodeFact]:
        """Return the facts of those of these hosts that are others than they were told last."""
        among = set(moids)
        wanted = [host for host in self.hosts() if host.moid in among]
        told = {host.uuid: self._last_told(host) for host in wanted}
        found = []
        for start in range(0, len(wanted), _HOSTS_AT_ONCE):
            for fact in self.facts(wanted[start : start + _HOSTS_AT_ONCE]):
                last = told[fact.ref]
                if last is None or last.told != self._told[fact.ref].told:
                    found.append(fact)
        return found

    def gone(self) -> tuple[str, ...]:
        """Return the uuids of hosts that were told and are no more, once."""
        there = {host.uuid for host in self._hosts.values()}
        gone = sorted((self._before.hosts.keys() | self._told.keys()) - there - self._gone)
        self._gone.update(gone)
        self._gone -= there
        for uuid in gone:
            self._told.pop(uuid, None)
        return tuple(gone)

    def known(self) -> Known:
        """Return what the next look may know beforehand."""
        return Known(
            vcenter=self._before.vcenter,
            hosts=dict(self._told),
            layouts=self._layouts.found,
            sizes=self._sizes.told,
            plain=dict(self._plain),
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _lack(self, gap: str) -> None:
        if gap not in self.gaps:
            self.gaps.append(gap)

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _last_told(self, host: Host) -> HostKnown | None:
        return self._told.get(host.uuid) or self._before.hosts.get(host.uuid)

    def _fact(self, host: Host, here: Mapping[str, Machine]) -> NodeFact:
        slots = self._slots.get(host.uuid, {})
        fact = node_fact(host, slots, here, self._sizes.profiles, self._places.topology(host.parent))
        before = self._last_told(host)
        is_read = host.is_told and not host.is_lost
        hardware = host.hardware() if is_read else (before.hardware if before is not None else "")
        self._told[host.uuid] = HostKnown(hardware, self._layouts.number(slots), digest_of(fact))
        return fact

    def _read_slots(self, wanted: Sequence[Host]) -> None:
        """Learn the cards of hosts: from the cursor, else from their PCI devices.

        Where each card is one that the host drives, what it gives to VMs whole says nothing more and is not read.
        """
        new, open_hosts = [], []
        for host in wanted:
            before = self._last_told(host)
            slots = self._slots.setdefault(host.uuid, self._before.layout(host.uuid))
            is_known = before is not None and (before.hardware == host.hardware() or (before.hardware and host.is_lost))
            if not host.hidden and not is_known:
                new.append(host)
            elif host.active is None and not slots.keys() <= {card.address for card in host.graphics}:
                open_hosts.append(host)
        for seen, host in self._read_of(new, [PCI_DEVICES, PASSTHROUGH]):
            if PCI_DEVICES in seen.unknown:
                self._lack(_HIDDEN_PCI)
            whole = self._take_whole(host, seen)
            devices = seen.values.get(PCI_DEVICES)
            if devices is not None:
                self._slots[host.uuid] = hosts.layout(devices, host.graphics, whole, self._slots[host.uuid])
        for seen, host in self._read_of(open_hosts, [PASSTHROUGH]):
            self._take_whole(host, seen)

    def _take_whole(self, host: Host, seen: Seen) -> frozenset[str]:
        host.active = hosts.active(seen.values.get(PASSTHROUGH) or ())
        if PASSTHROUGH in seen.unknown:
            host.hidden |= {PASSTHROUGH}
            self._lack(_HIDDEN_CARDS)
        return host.active

    def _read_of(self, wanted: Sequence[Host], paths: Sequence[str]) -> Iterator[tuple[Seen, Host]]:
        for start in range(0, len(wanted), _HOSTS_AT_ONCE):
            batch = {host.moid: host for host in wanted[start : start + _HOSTS_AT_ONCE]}
            for seen in self._client.read([host.ref for host in batch.values()], paths, is_lean=True):
                yield seen, batch[seen.ref._GetMoId()]

    def _read_machines(self, wanted: Sequence[Host]) -> dict[str, Machine]:
        """Return the VMs on these hosts' cards, and those that are there besides and have a device."""
        named = {vm: host for host in wanted for vm in _names(host)}
        read = self._read_with_devices([_vm(vm, host) for vm, host in named.items()])
        if absent := {named[vm].moid: named[vm] for vm in named.keys() - read.keys()}:
            read |= self._read_again(list(absent.values()), read)
        others = {vm: version for host in wanted for vm, version in self._versions(host, named)}
        new = [self._vms[vm].ref for vm, version in others.items() if not version or self._plain.get(vm) != version]
        for vm, machine in self._read_with_devices(new).items():
            if machine.has_devices:
                read[vm] = machine
                self._plain.pop(vm, None)
            elif machine.is_told and others[vm]:
                self._plain[vm] = others[vm]
        return read

    def _versions(self, host: Host, named: Iterable[str]) -> list[tuple[str, str]]:
        """Return the VMs of a host that may have devices of which the host says nothing, with their versions."""
        has_others = not self._slots.get(host.uuid, {}).keys() <= {card.address for card in host.graphics}
        found = [
            self._vms[vm].ref
            for vm in sorted(self._vms_on.get(host.moid, ()))
            if vm not in named and (has_others or not machines.is_on(self._vms[vm].values))
        ]
        told = []
        for seen in self._client.read(found, [machines.VERSION], is_lean=True) if found else ():
            vm, version = str(seen.ref._GetMoId()), str(seen.values.get(machines.VERSION) or "")
            if version and self._before.plain.get(vm) == digest(version):
                self._plain[vm] = digest(version)
            told.append((vm, version and digest(version)))
        return told

    def _read_again(self, named_by: Sequence[Host], read: Mapping[str, Machine]) -> dict[str, Machine]:
        """Ask hosts again whose VMs are not there: they are gone meanwhile, or the account may not see them."""
        for seen, host in self._read_of(named_by, self.paths):
            self.take_host(seen)
            self._hosts[host.moid].active = host.active
        now = [self._hosts[host.moid] for host in named_by]
        left = {vm: host for host in now for vm in _names(host) if vm not in read}
        found = self._read_with_devices([_vm(vm, host) for vm, host in left.items()])
        if hidden := left.keys() - found.keys():
            self._lack(_HIDDEN_VMS)
            found |= {vm: Machine(name="", host=left[vm].moid, is_told=False) for vm in hidden}
        return found

    def _read_with_devices(self, refs: Sequence[Any]) -> dict[str, Machine]:
        found: dict[str, Machine] = {}
        for start in range(0, len(refs), _VMS_AT_ONCE):
            for seen in self._client.read(refs[start : start + _VMS_AT_ONCE], machines.PATHS, is_lean=True):
                machine = machines.machine(seen.values, self._installation)
                if not machine.is_told and machine.is_on:
                    self._lack(_HIDDEN_VMS)
                found[str(seen.ref._GetMoId())] = machine
        return found


def _names(host: Host) -> list[str]:
    """Return the VMs that a host names on its cards."""
    return [*dict.fromkeys([*(vm for card in host.graphics for vm in card.vms), *host.bound.values()])]


def _named(host: Host, read: Mapping[str, Machine]) -> dict[str, Machine]:
    return {vm: read[vm] for vm in _names(host) if vm in read}


def _vm(moid: str, host: Host) -> Any:
    return vim.VirtualMachine(moid, host.ref._stub)

"""Targets of the kind ``server``: a server of Nova, with a device profile and a private flavor of its own.

Nova claims, asks Cyborg and binds. It chooses the cards of the host itself, so this is node grain. Of several servers
that want cards of one kind at once, some end without a valid host while cards are left: that is told as a lost race.
"""

import base64
from collections.abc import Sequence

from msgspec import Struct

from connectors.contract import (
    Absent,
    Call,
    Delivery,
    Done,
    Found,
    NoCapacity,
    Order,
    Outcome,
    Pending,
    Permanent,
    Place,
    Plan,
    Target,
    Transient,
)
from connectors.openstack import claims, kinds, marks
from connectors.openstack.claims import Claim
from connectors.openstack.client import Cloud
from connectors.openstack.marks import Mark
from connectors.openstack.payloads import Profile, Server
from connectors.openstack.steps import Raced, Step, change, lost_race, take, unconfirmed
from connectors.openstack.there import KEY, Made, guard, made

WAIT_SECONDS = 3.0
_NO_HOST = "No valid host"
_ON_THE_WAY = frozenset(
    {"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT", "PASSWORD", "MIGRATING", "RESIZE", "REVERT_RESIZE", "UNKNOWN"}
)
"""States of a server that Nova leaves by itself; UNKNOWN is one whose part of the cloud does not answer."""


class Boot(Struct, frozen=True):
    """What the pool's settings say of servers: image and network by id, ``none`` for no network, and the disk."""

    image: str = ""
    network: str = "none"
    disk_gib: int = 10


class ServerTargets:
    """Makes servers carry one order each, in the project of the credential."""

    def __init__(self, cloud: Cloud, installation: str, boot: Boot) -> None:
        self._cloud = cloud
        self._installation = installation
        self._boot = boot

    # --- the calls of the contract ------------------------------------------------------------------------------------

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """As the contract says."""
        steps = self._steps(target, claims.only(orders), made(self._cloud, target))
        return Plan(calls=tuple(step.call for step in steps))

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """As the contract says. A server that Nova builds or removes is waited for by asking again."""
        order = claims.only(orders)
        changes: list[Call] = []
        try:
            for step in self._steps(target, order, made(self._cloud, target)):
                if order is None and not _is_of_server(step.call) and made(self._cloud, target).servers:
                    # What a server still uses is not taken from under it.
                    return Pending(after_seconds=WAIT_SECONDS, changes=tuple(changes))
                take([step], changes)
        except Raced:
            raise lost_race(f"the server {target.ref}") from None
        there = made(self._cloud, target)
        if order is not None:
            if any(call.verb == "DELETE" and _is_of_server(call) for call in changes):
                return Pending(after_seconds=WAIT_SECONDS, changes=tuple(changes))
            if there.server is not None and there.server.status == "ERROR":
                self._failed(target, order, there)
            if there.server is not None and (there.server.is_going or there.server.status in _ON_THE_WAY):
                return Pending(after_seconds=WAIT_SECONDS, changes=tuple(changes))
        if left := self._steps(target, order, there) if changes else []:
            raise unconfirmed(f"{left[0].call.verb} {left[0].call.object} is still to be done after all was sent")
        found = self.probe(target)
        if order is not None and not (isinstance(found, Found) and found.markers == (order.marker,)):
            # Somebody began to delete it since: the next call waits for that.
            return Pending(after_seconds=WAIT_SECONDS, changes=tuple(changes))
        return Done(found=found, changes=tuple(changes))

    def probe(self, target: Target) -> Found | Absent:
        """As the contract says."""
        there = made(self._cloud, target)
        if not there.is_there:
            return Absent()
        mark, is_ours = there.mark, there.is_of(self._installation)
        is_up = is_ours and there.server is not None and there.server.status == "ACTIVE" and not there.server.is_going
        return Found(
            generation=mark.generation if mark else 0,
            markers=(mark.marker,) if mark and is_up else (),
            undelivered=(mark.marker,) if mark and is_ours and not is_up else (),
            is_ours=is_ours,
            places={mark.marker: self._places(there)} if mark and is_up else {},
            enforced=("hypervisor", "scheduler") if is_up else (),
            detail={server.id: server.status for server in there.servers},
        )

    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        """Return where the server is. There is nothing secret in it."""
        found, there = self.probe(target), made(self._cloud, target)
        wanted = tuple(sorted(order.marker for order in orders))
        if not isinstance(found, Found) or found.markers != wanted or not there.servers:
            raise Permanent(f"There is no server {target.ref} that runs. Apply the orders first.", code="not_found")
        networks = there.servers[0].addresses.values()
        return Delivery(
            kind="server",
            facts={
                "server": there.servers[0].id,
                "name": target.ref,
                "addresses": " ".join(sorted(each.addr for network in networks for each in network)),
                "devices": " ".join(sorted(each.address for each in there.requests)),
            },
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _places(self, there: Made) -> tuple[Place, ...]:
        providers = {each.device_rp_uuid for each in there.requests if each.device_rp_uuid}
        roots = claims.roots(self._cloud, min(providers)) if providers else {}
        refs = dict(claims.devices(self._cloud, providers))
        return tuple(sorted((Place(roots.get(each, ""), refs.get(each, each)) for each in providers), key=str))

    def _steps(self, target: Target, order: Order | None, there: Made) -> list[Step]:
        guard(there, f"server {target.ref}", self._installation, target)
        if order is None:
            return self._removal(target, there)
        if there.server is not None:
            return self._of_server(target, order, there, there.server)
        if not self._boot.image:
            raise Permanent(
                "The pool's settings name no image, and Nova boots none without. Give the image's id.",
                code="invalid_settings",
            )
        claim = claims.read(self._cloud, self._installation, target, order, {})
        return [
            *self._profile(target, there, claim),
            *self._flavor(target, order, there, claim.mark),
            self._boots(target, order, claim),
        ]

    def _of_server(self, target: Target, order: Order, there: Made, server: Server) -> list[Step]:
        """Mark a server that is as ordered, and make one of several. One that never ran and is not goes.

        One that is being deleted is waited for. Raises Permanent for one that ran and is not as ordered, does not run,
        or is broken: it has a disk of its tenant.
        """
        if server.is_going:
            return []
        text = str(marks.of(self._installation, order, target.generation))
        cards = claims.count(self._cloud, target, order)
        host = claims.host(self._cloud, target.node_ref) if target.node_ref else None
        if differences := kinds.differences(there, order, cards, host):
            if server.launched_at is None:
                return [self._gone(f"/servers/{each.id}") for each in there.servers]
            raise _differs(target, differences)
        if server.launched_at is not None:
            _check_runs(target, server)
        path = f"/servers/{server.id}/metadata/{KEY}"
        is_marked = server.metadata.get(KEY) == text
        mark = [] if is_marked else [change(self._cloud, "compute", "PUT", path, {"meta": {KEY: text}})]
        return [*mark, *(self._gone(f"/servers/{double.id}") for double in there.servers[1:])]

    def _profile(self, target: Target, there: Made, claim: Claim) -> list[Step]:
        wanted = kinds.profile(target, claim)
        if there.profile is not None and kinds.is_profile(there.profile, wanted, claim):
            return []
        old = [] if there.profile is None else [self._forgets(there.profile)]
        return [*old, change(self._cloud, "accelerator", "POST", "/device_profiles", [wanted], told=wanted)]

    def _flavor(self, target: Target, order: Order, there: Made, mark: Mark) -> list[Step]:
        wanted = kinds.flavor(target, order, mark, self._boot.disk_gib)
        path, steps, known = f"/flavors/{target.ref}", [], there.flavor
        if known is not None and not kinds.is_flavor(known, wanted):
            steps.append(self._gone(path))
            known = None
        if known is None:
            steps.append(change(self._cloud, "compute", "POST", "/flavors", {"flavor": wanted}))
        if known is None or known.extra_specs.get(kinds.PROFILE_SPEC) != target.ref:
            tenant = {"addTenantAccess": {"tenant": self._cloud.access().project_id or ""}}
            steps.append(change(self._cloud, "compute", "POST", f"{path}/action", tenant, accept=(409,)))
            specs = {"extra_specs": {kinds.PROFILE_SPEC: target.ref}}
            steps.append(change(self._cloud, "compute", "POST", f"{path}/os-extra_specs", specs))
        return steps

    def _boots(self, target: Target, order: Order, claim: Claim) -> Step:
        keys = "".join(f" - {key}\n" for key in order.ssh_keys)
        login = base64.b64encode(f"#cloud-config\nssh_authorized_keys:\n{keys}".encode()).decode()
        server = {
            "name": target.ref,
            "imageRef": self._boot.image,
            "flavorRef": target.ref,
            "networks": "none" if self._boot.network == "none" else [{"uuid": self._boot.network}],
            "metadata": {KEY: str(claim.mark)},
            # Not ``host``: a compute service may be named otherwise than its hypervisor, after which the provider is.
            "hypervisor_hostname": claim.host,
            **({"user_data": login} if keys else {}),
        }
        return change(self._cloud, "compute", "POST", "/servers", {"server": server})

    def _removal(self, target: Target, there: Made) -> list[Step]:
        steps = [self._gone(f"/servers/{server.id}") for server in there.servers]
        if there.flavor is not None:
            steps.append(self._gone(f"/flavors/{target.ref}"))
        if there.profile is not None:
            steps.append(self._forgets(there.profile))
        return steps

    def _gone(self, path: str) -> Step:
        return change(self._cloud, "compute", "DELETE", path)

    def _forgets(self, profile: Profile) -> Step:
        return change(self._cloud, "accelerator", "DELETE", f"/device_profiles/{profile.uuid}")

    def _failed(self, target: Target, order: Order, there: Made) -> None:
        """Take back what Nova could not build, and say why: a lost race, no room, or its own words."""
        words = there.servers[0].fault.message
        take([self._gone(f"/servers/{server.id}") for server in there.servers], [])
        if _NO_HOST in words and self._has_room(target, order):
            raise Transient(
                "Nova found no valid host while Placement shows free cards: others wanted one at the same moment. It "
                "is tried again.",
                code="conflict",
                platform_words=words,
                after_seconds=WAIT_SECONDS,
            )
        if not made(self._cloud, target).servers:
            take(self._removal(target, made(self._cloud, target)), [])
        if _NO_HOST in words:
            raise NoCapacity("Nova has no room for the server. Take another place.", platform_words=words)
        raise Permanent(
            "Nova could not build the server. Its own words say why.", code="rejected", platform_words=words
        )

    def _has_room(self, target: Target, order: Order) -> bool:
        try:
            claim = claims.read(self._cloud, self._installation, target, order, {})
        except NoCapacity:
            return False
        return len(claim.slots) <= claims.free_slots(self._cloud, target, claim)


def _is_of_server(call: Call) -> bool:
    return "/servers/" in call.object


def _check_runs(target: Target, server: Server) -> None:
    """Raise Permanent for a server that ran and does not now: waiting brings nothing."""
    if server.status == "ERROR":
        raise Permanent(
            f"Nova shows the server {target.ref} as broken after it ran. It is left as it is, with its disk. Repair it "
            "in Nova, or give the allocation back.",
            code="rejected",
            platform_words=server.fault.message,
        )
    if server.status != "ACTIVE" and server.status not in _ON_THE_WAY:
        raise Permanent(
            f"The server {target.ref} is {server.status} in Nova: somebody stopped it, or its host was started anew. "
            "It is left as it is. Start it in Nova, or give the allocation back.",
            code="not_running",
        )


def _differs(target: Target, differences: Sequence[str]) -> Permanent:
    return Permanent(
        f"The server {target.ref} is not as ordered: it has {'; '.join(differences)}. Nova does not change a server "
        "with accelerators, and what is on its disk is the tenant's. Give the allocation back and order anew.",
        code="not_supported",
    )

"""Whether the host takes a document at all, before anything is changed for it."""

from __future__ import annotations

from . import document, memory
from .document import FIRST_UID, LAST_UID, Document
from .errors import Refused, Stale
from .host import Host

WHO = "/etc/ocenter/host"
ESCAPES = frozenset({"docker", "sudo", "wheel", "video", "render", "root", "disk", "lxd", "podman"})
"""Groups whose members get past every list on a device node."""
FIRST_PERSON = 1000


def judged(host: Host, given: str) -> Document:
    """Return the document that was given. Raises Refused, and Stale for an older one."""
    wanted = document.read(given)
    who = (host.text(WHO) or "").strip()
    if wanted.host != who:
        raise Refused("wrong_host", f"the document is for {wanted.host}, and this is {who or 'not prepared'}")
    before = memory.saved(host)
    _refuse_older(host, before, wanted)
    _refuse_accounts(host, wanted)
    _refuse_occupied(host, before, wanted)
    return wanted


def _refuse_older(host: Host, before: Document | None, wanted: Document) -> None:
    if before is not None and before.is_same_target(wanted):
        if wanted.generation < before.generation:
            raise Stale(f"generation {before.generation} is there, {wanted.generation} is older")
        if wanted.generation == before.generation and wanted.asked != before.asked:
            raise Stale(f"generation {before.generation} is there with other content")
    elif before is not None and before.leases:
        if before.installation != wanted.installation:
            raise Refused("not_ours", f"the host carries a document of installation {before.installation}")
        if wanted.leases:
            raise Refused("no_capacity", f"the host carries the document {before.target}")
    released = memory.released(host, wanted)
    if wanted.generation < released or (wanted.leases and wanted.generation == released):
        raise Stale(f"all was given back at generation {released}, {wanted.generation} is no newer")


def _refuse_accounts(host: Host, wanted: Document) -> None:
    others = [account for account in host.accounts() if not account.is_ours]
    groups = host.groups()
    for lease in wanted.leases:
        for other in others:
            if lease.uid == other.uid or lease.user == other.name:
                raise Refused("invalid", f"{other.name} with uid {other.uid} is somebody's account on this host")
        if escapes := sorted(name for name in groups.keys() & ESCAPES if lease.user in groups[name][1]):
            raise Refused("invalid", f"account {lease.user} is in the group {escapes[0]}, which gets past every fence")


def _refuse_occupied(host: Host, before: Document | None, wanted: Document) -> None:
    had = {(lease.user, node) for lease in (before.leases if before else ()) for node in lease.devices}
    fresh = {node for lease in wanted.leases for node in lease.devices if (lease.user, node) not in had}
    # All nodes are looked at, though not all are judged: what one of them shares with another is no number of its own.
    for node, holders in host.holders({*wanted.nodes, *fresh} if fresh else ()).items():
        # Daemons of the driver run as system accounts and hold every card.
        outside = [each for each in holders if each.uid >= FIRST_PERSON and not FIRST_UID <= each.uid <= LAST_UID]
        if outside and node in fresh:
            raise Refused("no_capacity", f"{node} is held by process {outside[0].pid} of uid {outside[0].uid}")

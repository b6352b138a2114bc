"""The desired-state document of a host, made of orders, and the helper's answers about it."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from connectors.baremetal.look import HELPER
from connectors.baremetal.ssh import bounded
from connectors.baremetal.tools.card import Card
from connectors.contract import NoCapacity, Order, Permanent, Target

AS_ROOT = {verb: f"/usr/bin/{bounded(f'{HELPER} {verb}')}" for verb in ("observe", "plan", "apply")}
"""What sudo lets the account run: root's own timeout, since the account's could not end a helper that hangs."""
OBSERVE, PLAN, APPLY = (f"sudo -n {command}" for command in AS_ROOT.values())
RIGHTS = bounded(f"sudo -n -l {AS_ROOT['apply']}")
"""Asks sudo whether it would let us apply; changes nothing."""
FIRST_UID, UIDS = 61000, 184
"""systemd makes up users of services from 61184 on."""


class Hardware(Struct, frozen=True, kw_only=True):
    """What some cards are on a host at present: nodes of their own, nodes that all need, variables for programs."""

    devices: tuple[str, ...]
    shared: tuple[str, ...]
    env: Mapping[str, str]


class Lease(Hardware, frozen=True, kw_only=True):
    """One order on a host. ``user`` is its marker, ``cards`` are the refs of its devices, ``expires`` is RFC 3339."""

    id: str
    user: str
    uid: int
    keys: tuple[str, ...]
    cards: tuple[str, ...]
    limits: Mapping[str, int]
    expires: str | None


class Desired(Struct, frozen=True, kw_only=True):
    """All that a host shall carry. ``nodes`` are the device nodes of all its cards, given out or not."""

    version: int = 1
    host: str
    installation: str
    target: str
    generation: int
    nodes: tuple[str, ...]
    leases: tuple[Lease, ...]


class Carried(Struct, frozen=True, kw_only=True):
    """The helper's answer to ``observe``.

    ``delivered`` are the users whose leases lack nothing, ``leaving`` those without a lease of whom something is left.
    """

    enforced: tuple[str, ...]
    document: Desired | None
    delivered: tuple[str, ...]
    leaving: tuple[str, ...]
    remaining: tuple[Mapping[str, Any], ...]
    uids: tuple[int, ...]


def document(
    target: Target, orders: Sequence[Order], cards: Sequence[Card], before: Carried, installation: str
) -> Desired:
    """Return the document that makes a host carry the orders, and what the target keeps beside them.

    Leases keep the uid they have, and what is known of a card that is dead now. Raises NoCapacity for another card that
    the host has not, Permanent ``invalid``.
    """
    known = {card.ref: card for card in cards}
    had = leases_of(before, installation)
    taken = {*before.uids, *(lease.uid for lease in had.values())}
    leases = []
    for order in sorted(orders, key=lambda order: order.marker):
        there = had.get(order.marker)
        uid = there.uid if there else _free_uid(order.marker, taken)
        taken.add(uid)
        lease = _lease(order, uid, known, there)
        leases.append(lease)
    ordered = {order.marker for order in orders}
    leases += [had[marker] for marker in target.keeps if marker in had and marker not in ordered]
    leases.sort(key=lambda lease: lease.user)
    is_whole = all(ref in known for lease in leases for ref in lease.cards)
    nodes = {node for card in cards for node in (*card.nodes, *card.shared)}
    if not (cards and is_whole) and before.document:
        nodes.update(before.document.nodes)
    return Desired(
        host=target.node_ref or "",
        installation=installation,
        target=target.ref,
        generation=target.generation,
        nodes=tuple(sorted(nodes)),
        leases=tuple(leases),
    )


def leases_of(carried: Carried, installation: str) -> Mapping[str, Lease]:
    """Return the leases that a host has of an installation, by user."""
    there = carried.document
    return {lease.user: lease for lease in there.leases} if there and there.installation == installation else {}


def is_carried(order: Order, lease: Lease | None) -> bool:
    """Whether a lease has exactly the order's cards."""
    return lease is not None and set(lease.cards) == set(order.devices)


def _lease(order: Order, uid: int, known: Mapping[str, Card], there: Lease | None) -> Lease:
    if not order.devices:
        raise Permanent(
            "An order names no card, and a host gives out single cards. Choose its devices.",
            code="invalid",
            platform_words=order.marker,
        )
    missing = [ref for ref in order.devices if ref not in known]
    if missing and not is_carried(order, there):
        # All tenants of the host read the sentence, and only the platform's roles the words.
        raise NoCapacity(
            "The host has no card that one of its orders names. Choose another; it may be lost.",
            platform_words=f"{missing[0]} for {order.marker}",
        )
    # A card that is dead now is still this lease's: others' leases must not wait for it.
    hardware = _hardware([known[ref] for ref in order.devices]) if not missing or there is None else there
    return Lease(
        id=f"{order.allocation}/{order.member}",
        user=order.marker,
        uid=uid,
        keys=tuple(key.strip() for key in order.ssh_keys),
        cards=order.devices,
        devices=hardware.devices,
        shared=hardware.shared,
        env=hardware.env,
        limits={
            name: value
            for name, value in (("memory_mib", order.host_memory_mib), ("cpu_milli", order.cpu_milli))
            if value
        },
        expires=_utc(order.lease_end_at),
    )


def _hardware(cards: Sequence[Card]) -> Hardware:
    if bare := [card.ref for card in cards if not card.nodes]:
        # Without a node of its own nothing would keep others off it.
        raise Permanent(
            f"Nobody knows a device node that is {bare[0]}'s alone, as for a partition (MIG). Choose a whole card.",
            code="not_supported",
        )
    variables: dict[str, list[str]] = {}
    for card in cards:
        if card.visible is not None:
            variables.setdefault(card.visible[0], []).append(card.visible[1])
    return Hardware(
        devices=tuple(sorted({node for card in cards for node in card.nodes})),
        shared=tuple(sorted({node for card in cards for node in card.shared})),
        env={name: ",".join(values) for name, values in variables.items()},
    )


def _free_uid(marker: str, taken: Collection[int]) -> int:
    """Return the first free uid from one that the marker gives, so that a freed one is not soon used again."""
    start = int.from_bytes(hashlib.blake2b(marker.encode(), digest_size=4).digest(), "big")
    for step in range(UIDS):
        if (uid := FIRST_UID + (start + step) % UIDS) not in taken:
            return uid
    raise NoCapacity(f"All {UIDS} uids for leases are taken on the host. Give some back.")


def _utc(instant: str | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromisoformat(instant).astimezone(UTC).replace(microsecond=0).isoformat()


def encoded(desired: Desired) -> str:
    """Return the document as it is sent."""
    return msgspec.json.encode(desired).decode()

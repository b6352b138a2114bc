"""Make hosts carry orders by their helper: one document a host, which is the target with all its live orders.

The host itself compares generations, refuses double booking, and ends keys with their lease. Read back after each
change. Codes beside the contract's: Transient ``conflict`` when another apply holds the host's lock for too long.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from connectors import failures
from connectors.baremetal import desired
from connectors.baremetal.desired import Carried, Desired, Lease
from connectors.baremetal.fleet import Fleet
from connectors.baremetal.look import HELPER, REFUSED_BY_GATE
from connectors.baremetal.sight import look_at
from connectors.baremetal.ssh import ENDED_BY_TIME, Answer, Session
from connectors.baremetal.tools.card import Card
from connectors.contract import (
    Absent,
    Call,
    ConnectorError,
    Delivery,
    Denied,
    Done,
    Found,
    NoCapacity,
    Order,
    Permanent,
    Place,
    Plan,
    Target,
    Transient,
)

REFUSED, STALE, INCOMPLETE = 2, 3, 4
_NO_HELPER = frozenset({126, 127, REFUSED_BY_GATE})
_REFUSED_BY_SUDO = 1
T = TypeVar("T")


class Changes(Struct, frozen=True):
    """The helper's answer to ``plan`` and ``apply``."""

    changes: tuple[Call, ...]


class Refusal(Struct, frozen=True):
    """The helper's answer when it did not do it."""

    error: str
    message: str


def plan(fleet: Fleet, installation: str, target: Target, orders: Sequence[Order]) -> Plan:
    """Return the steps that the helper would take. Raises a ConnectorError."""

    async def work(session: Session) -> Plan:
        wanted = await _wanted(session, installation, target, orders)
        answer = await _ask(session, desired.PLAN, Changes, desired.encoded(wanted))
        return Plan(calls=answer.changes)

    return _on_host(fleet, target, work)


def apply(fleet: Fleet, installation: str, target: Target, orders: Sequence[Order]) -> Done:
    """Make the host carry exactly these orders, and read back. Raises a ConnectorError."""

    async def work(session: Session) -> Done:
        wanted = await _wanted(session, installation, target, orders)
        # Also where there is nothing to give back: the host remembers it, and takes no older document after it.
        made = await _ask(session, desired.APPLY, Changes, desired.encoded(wanted))
        after = await _ask(session, desired.OBSERVE, Carried)
        found = _found(after, installation, target)
        is_done = after.document == wanted and not after.remaining if wanted.leases else found == Absent()
        if not is_done:
            raise Transient(
                f"{session.host.name} said that it carries generation {target.generation}, and does not. ocenter tries "
                "again; see who else changes accounts or device nodes there.",
                code="unconfirmed",
                platform_words=str(after.remaining),
            )
        return Done(found=found, changes=made.changes)

    return _on_host(fleet, target, work)


def probe(fleet: Fleet, installation: str, target: Target) -> Found | Absent:
    """Return what the host carries of the target. Raises a ConnectorError."""

    async def work(session: Session) -> Found | Absent:
        return _found(await _ask(session, desired.OBSERVE, Carried), installation, target)

    return _on_host(fleet, target, work)


def access(fleet: Fleet, installation: str, target: Target, orders: Sequence[Order]) -> Delivery:
    """Return how tenants log in. sshd itself ends it with the lease. Raises Permanent ``not_found``."""
    host = fleet.host(target.node_ref)

    async def work(session: Session) -> Delivery:
        carried = await _ask(session, desired.OBSERVE, Carried)
        found = _found(carried, installation, target)
        asked = {order.marker for order in orders}
        if isinstance(found, Absent) or carried.document is None or not asked or not asked <= set(found.markers):
            raise Permanent(f"{host.name} does not carry these orders. Apply them first.", code="not_found")
        leases = [lease for lease in carried.document.leases if lease.user in asked]
        variables = [f"{name}={value}" for lease in leases for name, value in sorted(lease.env.items())]
        ends = [lease.expires for lease in leases if lease.expires]
        facts = {
            "host": host.address,
            "port": str(host.port),
            "account": ", ".join(lease.user for lease in leases),
            "fingerprint": host.ref,
            "variables": " ".join(variables),
        }
        return Delivery(kind="ssh", facts=facts, expires_at=min(ends, default=None))

    return fleet.ssh.with_one(host, work)


def lacking(fleet: Fleet) -> tuple[str, ...]:
    """Return, host by host, that its sudo does not let us apply. A host that does not answer tells nothing."""
    hosts = list(fleet.hosts.values())
    answers = fleet.ssh.with_each(hosts, lambda session: session.run(desired.RIGHTS))
    return tuple(
        f"{host.name}: sudo {HELPER} apply"
        for host, answer in zip(hosts, answers, strict=True)
        if isinstance(answer, Answer) and answer.code != 0
    )


# --- on the host ------------------------------------------------------------------------------------------------------


def _on_host(fleet: Fleet, target: Target, work: Callable[[Session], Awaitable[T]]) -> T:
    if target.is_tenants:
        raise Permanent("A host's document is always ocenter's own. Order cards of a host instead.", code="invalid")
    return fleet.ssh.with_one(fleet.host(target.node_ref), work)


async def _wanted(session: Session, installation: str, target: Target, orders: Sequence[Order]) -> Desired:
    before = await _ask(session, desired.OBSERVE, Carried)
    there = before.document
    if there is not None and there.installation != installation and there.leases:
        raise _not_ours(session.host.name)
    # To give back, no card has to be known: that works with a broken driver too.
    cards = await _cards(session, orders, desired.leases_of(before, installation)) if orders else ()
    return desired.document(target, orders, cards, before, installation)


async def _cards(session: Session, orders: Sequence[Order], had: Mapping[str, Lease]) -> tuple[Card, ...]:
    found = await look_at(session)
    if found.trouble and not all(desired.is_carried(order, had.get(order.marker)) for order in orders):
        raise Transient(f"The cards of {session.host.name} are not known now: {found.trouble}. Heal the host first.")
    return found.cards


async def _ask(session: Session, command: str, kind: type[T], stdin: str = "") -> T:
    answer = await session.run(command, stdin)
    if answer.code == 0:
        try:
            return msgspec.json.decode(answer.output, type=kind)
        except msgspec.DecodeError as error:
            raise Permanent(
                f"The helper on {session.host.name} is of another version: {error}. Prepare the host again.",
                code="invalid_answer",
            ) from None
    raise _refusal(answer, session.host.name)


def _refusal(answer: Answer, name: str) -> ConnectorError:
    is_sudo = answer.code == _REFUSED_BY_SUDO and "Traceback" not in answer.complaint
    if answer.code in _NO_HELPER or is_sudo:
        return Denied(
            f"ocenter may not use the helper on {name}. Run python -m connectors.baremetal prepare for it.",
            code="forbidden",
            platform_words=answer.complaint or answer.output,
        )
    if answer.code in ENDED_BY_TIME or answer.code is None:
        return failures.truncated(name, "the helper was ended before it was done")
    try:
        told = msgspec.json.decode(answer.output, type=Refusal)
    except msgspec.DecodeError:
        return failures.truncated(name, f"the helper ended with {answer.code} and no answer")
    return _of(answer.code, told, name)


def _of(code: int, told: Refusal, name: str) -> ConnectorError:
    words: Mapping[str, Any] = {"platform_words": told.message}
    if code == STALE:
        return Permanent(
            f"{name} carries a newer document. Read it again before you change it.", code="stale_generation", **words
        )
    if code == INCOMPLETE and told.error == "busy":
        return Transient(f"Another apply is at work on {name}. ocenter tries again.", code="conflict", **words)
    if code == INCOMPLETE:
        return Transient(f"{name} could not do all of it. ocenter goes on.", code="incomplete", **words)
    if told.error == "not_ours":
        return _not_ours(name)
    if told.error == "no_capacity":
        return NoCapacity(f"{name} refuses for want of free cards. Choose others.", **words)
    return Permanent(f"{name} refuses the orders. Its words say what to correct.", code="rejected", **words)


def _not_ours(name: str) -> Permanent:
    return Permanent(
        f"{name} carries the document of another ocenter and is left alone. Give its leases back there first.",
        code="not_ours",
    )


def _found(carried: Carried, installation: str, target: Target) -> Found | Absent:
    there = carried.document
    if there is None or (not there.leases and not carried.remaining):
        return Absent()
    if there.installation != installation:
        return Found(generation=there.generation, is_ours=False, enforced=carried.enforced)
    if there.target != target.ref:
        return Absent()
    return Found(
        generation=there.generation,
        markers=tuple(sorted(carried.delivered)),
        undelivered=tuple(sorted({*carried.leaving, *(lease.user for lease in there.leases)} - {*carried.delivered})),
        places={lease.user: tuple(Place(there.host, ref) for ref in lease.cards) for lease in there.leases},
        enforced=carried.enforced,
        detail={
            "accounts": {lease.user: lease.uid for lease in there.leases},
            "lacking": [f"{step['verb']} {step['object']}" for step in carried.remaining],
            "leaving": list(carried.leaving),
        },
    )

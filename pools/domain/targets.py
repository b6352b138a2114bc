"""Which platform object carries an order, what an outcome says of its orders, and when to ask again."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from connectors.contract import Absent, ConnectorError, Denied, Found, Manifest, Mode, NoCapacity, Order, Transient
from pools.domain import markers, schedule

FIRST_DELAY_SECONDS: Final = 5
CANDIDATES_MOST: Final = 3
# The target carries a newer generation than ours: ask what is there, and go on from that.
STALE: Final = "stale_generation"
INCOMPLETE: Final = "incomplete"
_STEPS_MOST: Final = 30
# Another installation, or somebody else, made what is there.
NOT_OURS: Final = "not_ours"


class Key(Struct, frozen=True, order=True):
    """The name of a target on its pool."""

    kind: str
    ref: str


def mode_of(manifest: Manifest, name: str) -> Mode:
    """Return a mode of a kind by name; the first where the name is empty or of a mode that is gone."""
    return next((mode for mode in manifest.modes if mode.name == name), manifest.modes[0])


def key(mode: Mode, installation: str, *, allocation_id: UUID, index: int, pool_id: UUID, node_ref: str | None) -> Key:
    """Return the target that carries the order of a member: its own, its allocation's, or that of its node.

    The same for the same member whenever it is asked for, so that a retry finds what an earlier attempt made.
    """
    if mode.per == "member":
        return Key(mode.target, markers.of_member(installation, allocation_id, index))
    if mode.per == "allocation":
        return Key(mode.target, markers.of_key(installation, str(allocation_id)))
    return Key(mode.target, markers.of_key(installation, f"{pool_id}/{node_ref}"))


def is_carried(orders: Sequence[Order], found: Found | Absent, keeps: Collection[str] = ()) -> bool:
    """Tell whether an answer says of every order that it is delivered, and of no other but what is kept beside."""
    wanted, told = {order.marker for order in orders}, set(found.markers if isinstance(found, Found) else ())
    return wanted <= told and told - wanted <= set(keeps)


def newer_generation(generation: int, found: Found | Absent, *, is_stale: bool, failures: int) -> int | None:
    """Return the generation to go on with where the platform has, or had, something newer; None where it has not.

    ``is_stale``: it refused this one as older after so many failures in a row. What is gone, or of the same number with
    other content, does not tell how much newer, so the steps get longer until one is.
    """
    if isinstance(found, Found) and not found.is_ours:
        return None
    if isinstance(found, Found) and found.generation > generation:
        return found.generation + 1
    return generation + 2 ** min(failures, _STEPS_MOST) if is_stale else None


def trouble(error: ConnectorError) -> dict[str, Any]:
    """Return an error as it is stored and shown."""
    return {
        "code": error.code,
        "message": str(error),
        "words": error.platform_words,
        "class": class_of(error),
    }


def class_of(error: ConnectorError) -> str:
    """Return what an error says of a retry: transient, no_capacity, denied or permanent."""
    if isinstance(error, Transient):
        return "transient"
    if isinstance(error, NoCapacity):
        return "no_capacity"
    return "denied" if isinstance(error, Denied) else "permanent"


def is_final(error: ConnectorError) -> bool:
    """Tell whether the same orders would be refused again, so that what is new among them has to give way."""
    return not isinstance(error, Transient) and error.code != STALE


def next_try(now: datetime, failures: int, target_id: UUID, after_seconds: float | None = None) -> datetime:
    """Return when to ask again after so many failures in a row: soon at first, at last every 15 minutes."""
    due = schedule.after_run(
        now=now,
        interval_seconds=FIRST_DELAY_SECONDS,
        failures=failures,
        pool_id=target_id,
        after_seconds=after_seconds,
    )
    return due.at

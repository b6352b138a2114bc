"""The calls of a connector: each may be repeated after a crash at any line, none waits for long work."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal

from connectors.contract.facts import Check, Cursor, Identity, Page, Reading
from connectors.contract.orders import Absent, Delivery, Found, Order, Outcome, Plan, Target


class Connector(ABC):
    """One remote pool. Every call may be repeated after a crash at any line; none waits for long work.

    Made with ``settings``, ``credential`` (every declared name, None where not given), ``outgoing`` and
    ``installation``: the id that goes into every marker beside the allocation, so that two installations on one
    platform leave each other's objects alone.
    """

    @abstractmethod
    def identity(self) -> Identity:
        """Which far end answers now. One cheap call; ocenter refuses to go on when it is not the stored one."""

    @abstractmethod
    def check(self) -> Check:
        """Reach the far end, and name each permission that is missing to watch and to manage. Changes nothing."""

    @abstractmethod
    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        """Yield all that is there, in pages of at most some hundred nodes; the last page says whether all was seen.

        With a cursor of an earlier ``Last`` the connector may yield only what changed since (``Page.is_full`` False).
        Raises a ConnectorError in the middle when it cannot go on; nothing seen so far is lost by that.
        """

    @abstractmethod
    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """What ``apply`` would call now, by the same code, without sending any change."""

    @abstractmethod
    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Make the target carry exactly these orders. None: remove it if we made it, silently when it is absent.

        Reads back what it did: an answer that says success without the effect is Transient ``unconfirmed``. Raises
        Transient when the effect is unknown (probe before a repeat), NoCapacity, Denied, or Permanent with the code
        ``stale_generation`` (the target carries a newer one), ``not_ours`` (this installation did not make it),
        ``conflict`` (somebody else owns what we would change) or ``rejected`` (the platform's own rules refuse it).
        """

    @abstractmethod
    def probe(self, target: Target) -> Found | Absent:
        """What is there now, asked of the platform and nobody else."""

    def close(self) -> None:
        """Let go of connections; most connectors hold none. May be called twice."""
        return


class CanHold(ABC):
    """The platform can keep capacity for a short time without delivering it."""

    @abstractmethod
    def hold(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Like ``apply``, but nobody can use what is held."""


class CanPower(ABC):
    """The platform can switch hosts."""

    @abstractmethod
    def power(self, node_ref: str, wanted: Literal["on", "off"]) -> Literal["on", "off", "changing"]:
        """Ask for a power state and tell the present one."""


class CanTelemeter(ABC):
    """The platform, or an exporter beside it, can tell how busy and how well devices are."""

    @abstractmethod
    def telemetry(self) -> Iterator[Reading]:
        """Yield what is measured now, a reading a device. Devices that tell nothing have none."""


class CanWatch(ABC):
    """The platform can tell changes as they come."""

    @abstractmethod
    def watch(self, cursor: Cursor) -> Iterator[Page]:
        """Yield changes since the cursor, blocking in between; each page has ``is_full`` False and its own ``last``.

        Each ``last.cursor`` may be stored with the page's rows, and both ``observe`` and ``watch`` go on from it.
        Changes of one to two seconds come as one page; a quiet platform gives a page without nodes at least every few
        minutes. Ends by itself when the platform wants a full observation; raises a ConnectorError like ``observe``.
        ``close`` of the connector, called from another thread, ends it within seconds.
        """


class CanResize:
    """Orders on a target can grow and shrink in place. ``apply`` with other orders does it; this says it is safe."""


class CanGrantAccess(ABC):
    """The connector can deliver what a tenant needs to use its target."""

    @abstractmethod
    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        """What to hand over for orders that the target carries. Raises Permanent ``not_found`` when it carries none."""

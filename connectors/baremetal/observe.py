"""Look at the hosts of a pool: who they are, what cards they have, who uses them.

Every host of the settings is told in every observation. One that does not answer, or whose driver does not, is told as
unavailable with the cards that the cursor remembers, of unknown health: so nothing is concluded to be missing, and the
observation is complete. It is not while nobody ever saw the cards of a silent host. When no host of a whole page
answers, the way to them is broken rather than each of them: the observation ends with their error.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from connectors.baremetal import mapping
from connectors.baremetal.fleet import Fleet
from connectors.baremetal.hosts import Host
from connectors.baremetal.look import HELPER
from connectors.baremetal.manifest import MANIFEST
from connectors.baremetal.sight import Sight, look_at
from connectors.baremetal.ssh import Session
from connectors.baremetal.tools.catalog import UNREAD
from connectors.contract import (
    Check,
    ConnectorError,
    Cursor,
    Denied,
    DeviceFact,
    Identity,
    Last,
    NodeFact,
    Page,
    Permanent,
    Tier,
)

HOSTS_PER_PAGE = 100
ASKED_FIRST = 8
CLOCK_SECONDS = 60
MOST_NAMED = 5


def identity(fleet: Fleet) -> Identity:
    """Say which pool answers: one host that lets us in stands for all, each of which is known by its own key.

    Raises the first host's ConnectorError when none does.
    """
    hosts = list(fleet.hosts.values())
    errors: list[ConnectorError] = []
    for start in range(0, len(hosts), ASKED_FIRST):
        seen = fleet.ssh.with_each(hosts[start : start + ASKED_FIRST], _greet)
        failed = [outcome for outcome in seen if isinstance(outcome, ConnectorError)]
        if len(failed) < len(seen):
            break
        errors += failed
    else:
        _raise_all(errors)
    return Identity(key=f"baremetal/{fleet.site}", label=f"{fleet.site}, {len(hosts)} hosts")


def check(fleet: Fleet) -> Check:
    """Name what each host lacks to watch and to manage. Raises the hosts' error when none answers."""
    hosts = list(fleet.hosts.values())
    seen = fleet.ssh.with_each(hosts, look_at)
    _raise_all([outcome for outcome in seen if isinstance(outcome, ConnectorError)], of=len(seen))
    watch: list[str] = []
    manage: list[str] = []
    warnings: list[str] = []
    for host, outcome in zip(hosts, seen, strict=True):
        if isinstance(outcome, Denied):
            watch.append(f"{host.name}: log in ({outcome.code})")
        elif isinstance(outcome, ConnectorError):
            warnings.append(f"Host {host.name} could not be looked at ({outcome.code}).")
        else:
            watch += [f"{host.name}: execute {tool}" for tool in outcome.forbidden]
            manage += [] if outcome.look.has_helper else [f"{host.name}: {HELPER}"]
            warnings += _warnings(host, outcome)
    return Check(
        identity=Identity(key=f"baremetal/{fleet.site}", label=f"{fleet.site}, {len(hosts)} hosts"),
        watch=Tier(ok=not watch, missing=tuple(watch)),
        manage=Tier(ok=not watch and not manage, missing=(*watch, *manage)),
        warnings=tuple(warnings),
        capabilities=MANIFEST.capabilities,
    )


def pages(fleet: Fleet, installation: str, cursor: Cursor | None) -> Iterator[Page]:
    """Yield the hosts in the order of the settings, in pages of one size. Raises as the module says."""
    before = cursor if cursor is not None and cursor.get("site") == fleet.site else {}
    view = _View(fleet, installation, before)
    hosts = list(fleet.hosts.values())
    count = max(1, -(-len(hosts) // HOSTS_PER_PAGE))
    size = -(-len(hosts) // count)
    for number in range(count):
        page = view.page(hosts[number * size : (number + 1) * size])
        is_last = number + 1 == count and not view.broken
        yield replace(page, last=view.last()) if is_last else page
    _raise_all(view.broken)


class _View:
    """One observation as it goes on."""

    def __init__(self, fleet: Fleet, installation: str, before: Mapping[str, Any]) -> None:
        self.broken: list[ConnectorError] = []
        self._fleet = fleet
        self._installation = installation
        self._before = before
        self._cards: dict[str, Any] = {}
        self._unknown: list[str] = []

    def page(self, hosts: Sequence[Host]) -> Page:
        """Look at some hosts, all at once."""
        seen = self._fleet.ssh.with_each(hosts, look_at)
        errors = [outcome for outcome in seen if isinstance(outcome, ConnectorError)]
        if errors and len(errors) == len(seen):
            self.broken += errors
        nodes = [self._node(host, outcome) for host, outcome in zip(hosts, seen, strict=True)]
        return Page(nodes=nodes, byte_count=sum(each.byte_count for each in seen if isinstance(each, Sight)))

    def last(self) -> Last:
        """Return how the observation ended, with what the next one must remember."""
        more = "" if len(self._unknown) <= MOST_NAMED else f" and {len(self._unknown) - MOST_NAMED} more"
        why = f"The cards of {', '.join(self._unknown[:MOST_NAMED])}{more} are not known yet." if self._unknown else ""
        return Last(
            complete=not self._unknown,
            cursor={"site": self._fleet.site, "cards": self._cards},
            incomplete_because=why,
        )

    def _node(self, host: Host, outcome: Sight | ConnectorError) -> NodeFact:
        if isinstance(outcome, ConnectorError):
            why = outcome.code if isinstance(outcome, Permanent) else "unreachable"
            why = "untrusted" if why == "tls_untrusted" else why
            return mapping.silent_node(host, self._recalled(host, why), f"{why}: {outcome}")
        if outcome.trouble:
            known = self._recalled(host, outcome.trouble, outcome.lost)
            return mapping.node(host, outcome.look, known, outcome.trouble)
        found = [mapping.device(card, outcome.look, outcome.document, self._installation) for card in outcome.cards]
        if outcome.silence:
            found = list(mapping.recalled(self._before, host.ref, outcome.silence) or found)
        self._cards[host.ref] = mapping.remembered(found)
        return mapping.node(host, outcome.look, found, outcome.silence)

    def _recalled(self, host: Host, why: str, lost: str = "") -> tuple[DeviceFact, ...]:
        known = mapping.recalled(self._before, host.ref, why, lost)
        if known is None:
            self._unknown.append(host.name)
            return ()
        self._cards[host.ref] = mapping.remembered(known)
        return known


async def _greet(_session: Session) -> None:
    """A log-in is proof enough."""


def _raise_all(errors: Sequence[ConnectorError], of: int | None = None) -> None:
    """Raise the first of the errors, when there are as many as were asked."""
    if not errors or (of is not None and len(errors) < of):
        return
    raise errors[0]


def _warnings(host: Host, seen: Sight) -> Iterator[str]:
    seconds = round(seen.look.epoch_seconds - time.time())
    if abs(seconds) >= CLOCK_SECONDS:
        yield (
            f"The clock of {host.name} is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} ours: leases and "
            "certificates may end at another time than shown. Set both clocks by NTP."
        )
    if (trouble := seen.trouble or seen.silence) and not seen.forbidden:
        yield f"Host {host.name} cannot give out its cards: {trouble}."
    for tool in set(seen.look.programs) & set(UNREAD):
        yield f"Host {host.name} has cards that only {tool} tells; ocenter cannot read it yet."

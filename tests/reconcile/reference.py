"""What must be recorded after each observation, told once more in plain Python: slow, obvious, and without SQL."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import DeviceFact, NodeFact, UseFact

Place = tuple[Any, int]  # capacity row and position


@dataclass(eq=False)
class Host:
    fact: NodeFact
    missing_since: datetime | None = None
    misses: int = 0
    is_accepted: bool = False
    is_unsettled: bool = False  # nobody has decided about a card that it did not show
    is_retired: bool = False
    row_id: Any = None


@dataclass(eq=False)
class Card:
    host: Host
    fact: DeviceFact
    uuid: str | None
    serial: str | None
    missing_since: datetime | None = None
    misses: int = 0
    is_retired: bool = False
    row_id: Any = None
    place: Place | None = None

    @property
    def is_out(self) -> bool:
        """True while nothing may be placed on it."""
        gone = self.missing_since is not None or self.host.missing_since is not None
        return gone or self.fact.health != "ok" or not self.host.fact.is_available


@dataclass
class Held:
    hosts: list[Host]
    cards: list[Card]


@dataclass
class Reference:
    """The inventory of one pool. ``claimed`` are the places and ``claimed_hosts`` the rows of nodes with a claim."""

    hosts: list[Host] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    held: Held | None = None
    claimed: set[Place] = field(default_factory=set)
    claimed_hosts: set[Any] = field(default_factory=set)
    before: list[Host] = field(default_factory=list)
    unseen: set[Card] = field(default_factory=set)
    counts_before: dict[Host, int] = field(default_factory=dict)

    def live(self) -> dict[str, Host]:
        return {host.fact.ref: host for host in self.hosts if not host.is_retired}

    def live_cards(self) -> list[Card]:
        return [card for card in self.cards if not card.is_retired]

    def is_changed(self, fact: NodeFact) -> bool:
        host = self.live().get(fact.ref)
        return host is None or host.missing_since is not None or host.is_unsettled or host.fact != fact

    # --- what is there ---

    def begin(self) -> None:
        """An observation begins."""
        self.before, self.unseen = list(self.live().values()), set()
        self.counts_before = {host: len(host.fact.devices) for host in self.before}

    def merge(self, facts: Sequence[NodeFact]) -> None:
        known = self.live()
        shown: list[tuple[Host, DeviceFact]] = []
        for fact in facts:
            host = known.get(fact.ref) or Host(fact)
            if fact.ref not in known:
                self.hosts.append(host)
            host.fact, host.missing_since, host.misses, host.is_accepted = fact, None, 0, False
            shown += [(host, device) for device in fact.devices]
        found = self._matched(shown)
        for number, (host, device) in enumerate(shown):
            card = found.get(number)
            if card is None:
                card = Card(host, device, device.uuid, device.serial)
                self.cards.append(card)
                found[number] = card
            card.host, card.fact = host, device
            card.uuid, card.serial = device.uuid or card.uuid, device.serial or card.serial
            card.missing_since, card.misses, card.is_retired = None, 0, False
            self.unseen.discard(card)
        for host in [known[fact.ref] for fact in facts if fact.ref in known]:
            here = [card for card in self.live_cards() if card.host is host and card.missing_since is None]
            unseen = {card for card in here if card not in found.values()}
            host.is_unsettled = bool(unseen)
            self.unseen |= unseen

    def _matched(self, shown: Sequence[tuple[Host, DeviceFact]]) -> dict[int, Card]:
        found: dict[int, Card] = {}
        for is_it in (_has_uuid, _has_serial, _has_slot):
            for number, (host, device) in enumerate(shown):
                if number in found:
                    continue
                same = [c for c in self.cards if c not in found.values() and is_it(c, host, device)]
                if same:
                    found[number] = min(same, key=self._rank)
        return found

    def _rank(self, card: Card) -> tuple[bool, bool, int]:
        return card.is_retired, card.missing_since is not None, -self.cards.index(card)

    # --- what is not ---

    def conclude(self, seen: set[str], gone: set[str], *, is_full: bool, now: datetime) -> bool:
        """Conclude a complete observation; True when a person has to decide about it."""
        waiting = Held([], []) if is_full else self.still_waiting(seen)
        hosts = [
            host
            for host in self.before
            if host.fact.ref not in seen
            and (is_full or host.fact.ref in gone or host.missing_since is not None or host in waiting.hosts)
        ]
        lost = [card for card in {*self.unseen, *waiting.cards} if card.missing_since is None]
        again = [c for c in self.live_cards() if c.missing_since and not c.host.missing_since and c.host not in hosts]
        if not self._needs_person(hosts, lost):
            self._lose(hosts, [*lost, *again], now, is_accepted=False)
            for host in {card.host for card in self.unseen} | set(self.before):
                host.is_unsettled &= host.fact.ref not in seen
            self.held = None
            return False
        held, self.held = self.held, Held(hosts, [*lost, *again])
        return held is None or not (set(hosts) <= set(held.hosts) and {*lost, *again} <= set(held.cards))

    def still_waiting(self, seen: set[str]) -> Held:
        """What of the held run's loss this observation, however far it came, has not seen either."""
        if self.held is None:
            return Held([], [])
        was_seen = {host for host in self.before if host.fact.ref in seen}
        return Held(
            [host for host in self.held.hosts if host not in was_seen],
            [card for card in self.held.cards if card.host not in was_seen or card in self.unseen],
        )

    def approve(self, now: datetime) -> None:
        held, self.held = self.held, None
        assert held is not None
        hosts = [host for host in held.hosts if not host.is_retired]
        self._lose(hosts, [card for card in held.cards if not card.is_retired], now, is_accepted=True)

    def _needs_person(self, hosts: Sequence[Host], cards: Sequence[Card]) -> bool:
        hosts = [host for host in hosts if not host.is_accepted]
        live = [host for host in self.before if not host.is_accepted]
        gone_along = [c for c in self.live_cards() if c.host in hosts and c.missing_since is None]
        lost_cards = len(gone_along) + len(cards)
        if not hosts and not lost_cards:
            return False
        return (
            any(host.row_id in self.claimed_hosts for host in hosts)
            or any(card.place in self.claimed for card in cards)
            or (len(hosts) > 0 and len(hosts) == len(live))
            or (len(hosts) > 5 and len(hosts) > len(live) * 0.2)
            or lost_cards > self.cards_before * 0.2
        )

    @property
    def cards_before(self) -> int:
        return sum(self.counts_before[host] for host in self.before if not host.is_accepted)

    def _lose(self, hosts: Sequence[Host], cards: Sequence[Card], now: datetime, *, is_accepted: bool) -> None:
        everything: list[Host | Card] = [*hosts, *cards]
        for lost in everything:
            lost.misses += 1
            lost.missing_since = lost.missing_since or now
        for host in hosts:
            host.is_accepted |= is_accepted
            if _is_over(host, now) and host.row_id not in self.claimed_hosts:
                host.is_retired = True
        for card in self.live_cards():
            if card.host.is_retired or (card in cards and _is_over(card, now) and card.place not in self.claimed):
                card.is_retired = True


def _has_uuid(card: Card, host: Host, device: DeviceFact) -> bool:
    return device.uuid is not None and card.uuid == device.uuid


def _has_serial(card: Card, host: Host, device: DeviceFact) -> bool:
    is_same = device.serial is not None and (card.serial, card.fact.profile) == (device.serial, device.profile)
    return is_same and not (card.uuid and device.uuid)


def _has_slot(card: Card, host: Host, device: DeviceFact) -> bool:
    if card.is_retired or card.host is not host or card.fact.ref != device.ref:
        return False
    return not (card.uuid and device.uuid) and not (card.serial and device.serial)


def _is_over(lost: Host | Card, now: datetime) -> bool:
    return lost.misses >= 3 and lost.missing_since is not None and lost.missing_since <= now - timedelta(minutes=15)


def used(uses: Sequence[UseFact], total_milli: int) -> int:
    """Use by others in milli; nobody can use more than there is."""
    return min(sum(use.milli for use in uses), total_milli)


def replayed(changes: Iterator[Mapping[str, Any]]) -> dict[Any, dict[str, Any]]:
    """What the change log says of each object when it is read from its beginning. Fails where it contradicts itself."""
    told: dict[Any, dict[str, Any]] = {}
    for change in changes:
        fields = told.setdefault(change["object_id"], {})
        for key, value in (change["before"] or {}).items():
            # A node that is renamed is no change of its cards, and the log tells their node by name.
            if change["action"] in ("changed", "moved", "returned") and key in fields and key != "node":
                assert fields[key] == value, (change, fields)
        if change["action"] == "missing":
            fields["is_missing"] = True
        elif change["action"] == "retired":
            fields["is_retired"] = True
        elif change["action"] != "held":
            fields |= (change["after"] or {}) | {"is_missing": False, "is_retired": False}
    return told

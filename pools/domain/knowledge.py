"""What is true of a state of a row, found out once and kept: how needs take from it and what its room is worth.

States have numbers, which are compared and looked up faster than rows. All of it follows from the prices and the
catalogue alone, so what one read found out is true for every other with the same two. It may be shared by threads:
two that find out the same at once find the same.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final, NamedTuple

from pools.domain import profiles, rows
from pools.domain.candidates import Candidate
from pools.domain.chips import Entry
from pools.domain.packing import Prices
from pools.domain.profiles import Layout, Placement
from pools.domain.rows import Need, Row, Taking
from pools.domain.shapes import NodeState

STATES_MOST: Final = 10_000  # some ten MiB; then it is time to begin anew
READ_MOST: Final = 10_000  # rows as they were read, with their positions
_KEPT_MOST: Final = 2  # the prices of now, and of those who still decide by the ones before

Wants = Callable[["Knowledge", int, int], float]
"""What a policy wants least of, given the numbers of a row's states before and after the placement."""


class Best(NamedTuple):
    """The best way to take from a row, how little the policy minds it, and the loss of everybody's room."""

    score: float
    loss: float
    taking: Taking
    after: int


class Knowledge:
    """Of one set of prices and one catalogue. ``is_full`` says that it holds more than is good."""

    def __init__(self, prices: Prices, chips: Mapping[str, Entry]) -> None:
        self.prices, self.chips = prices, chips
        self._lock = Lock()
        self._states: list[Row] = []
        self._numbers: dict[Row, int] = {}
        self._seen_as: list[NodeState] = []
        self._values: list[float | None] = []
        self._ways: dict[tuple[Need, Wants], Ways] = {}
        self._read: dict[tuple[object, ...], tuple[int, tuple[int, ...]]] = {}
        self._orders: dict[tuple[object, ...], tuple[int, tuple[int, ...]]] = {}
        self._spots: dict[tuple[str, Layout, str], Placement | None] = {}

    @property
    def is_full(self) -> bool:
        return len(self._states) > STATES_MOST

    def read(self, candidate: Candidate) -> tuple[int, tuple[int, ...]]:
        """Return the number of a candidate's state, and the position of each of the row's places."""
        alike = (
            candidate.kind,
            candidate.model,
            candidate.profile,
            candidate.unit_milli,
            candidate.cpu_free_milli,
            candidate.memory_free_mib,
            candidate.host_booked_in_seconds,
            candidate.cpu_later_milli,
            candidate.memory_later_mib,
        )
        cards = candidate.cards
        known = self._read.get((alike, cards))
        if known is None:
            number, order = self._state(candidate, (alike, tuple([card[1:] for card in cards])))
            if len(self._read) > READ_MOST:
                self._read.clear()
            known = self._read[alike, cards] = number, tuple([cards[place].position for place in order])
        return known

    def _state(self, candidate: Candidate, key: tuple[object, ...]) -> tuple[int, tuple[int, ...]]:
        """Return the number of a candidate's state and which card each place is, whatever the cards' positions."""
        known = self._orders.get(key)
        if known is None:
            row, order = rows.read(candidate, self.profile(candidate.model, candidate.profile))
            if len(self._orders) > READ_MOST:
                self._orders.clear()
            known = self._orders[key] = self.number(row), order
        return known

    def profile(self, model: str | None, name: str | None) -> str:
        """Return a profile's name in the catalogue's words, as it stands where the catalogue has it not."""
        entry = self.chips.get(model or "")
        found = entry.find_profile(name) if entry and name else None
        return found[1].name if found else name or ""

    def number(self, row: Row) -> int:
        """Return the number of a state."""
        number = self._numbers.get(row)
        return self._new_number(row) if number is None else number

    def _new_number(self, row: Row) -> int:
        seen_as = rows.seen_as(row)
        with self._lock:
            if row not in self._numbers:
                self._states.append(row)
                self._seen_as.append(seen_as)
                self._values.append(None)
                self._numbers[row] = len(self._states) - 1
            return self._numbers[row]

    def row(self, state: int) -> Row:
        """Return the state of that number."""
        return self._states[state]

    def seen_as(self, state: int) -> NodeState:
        """Return a state as the score sees it."""
        return self._seen_as[state]

    def value(self, state: int) -> float:
        """Return what the room of all kinds of requests on a row in that state is worth (``packing.Prices``)."""
        value = self._values[state]
        if value is None:
            value = self._values[state] = self.prices.value(self._seen_as[state])
        return value

    def ways(self, need: Need, wants: Wants) -> "Ways":
        """Return what is known of how a need takes from rows."""
        known = self._ways.get((need, wants))
        if known is None:
            known = self._ways[need, wants] = Ways(self, need, wants)
        return known

    def fits(self, model: str, layout: Layout, profile: str) -> Placement | None:
        """Say where one more piece of a profile lies on a card of the model, None when it does not fit."""
        known = (model, layout, profile)
        if known not in self._spots:
            entry = self.chips.get(model)
            self._spots[known] = profiles.fits(entry, layout, profile) if entry else None
        return self._spots[known]

    def reprice(self, prices: Prices) -> None:
        """Score with other prices from now on. Lanes made before are void."""
        self.prices = prices
        self._values = [None] * len(self._states)
        for ways in self._ways.values():
            ways.forget_scores()


_kept: Final[list[Knowledge]] = []


def of(prices: Prices, chips: Mapping[str, Entry]) -> Knowledge:
    """Return what is known with these very prices and this very catalogue, also from reads before."""
    for known in tuple(_kept):
        if known.prices is prices and known.chips is chips and not known.is_full:
            return known
    known = Knowledge(prices, chips)
    _kept[:] = [known, *_kept[: _KEPT_MOST - 1]]
    return known


class Ways:
    """How one need takes from rows under one policy: thought about once for each state."""

    def __init__(self, known: Knowledge, need: Need, wants: Wants) -> None:
        self.need = need
        self._known, self._wants = known, wants
        self._possible: dict[int, list[tuple[Taking, int, tuple[int, int]]]] = {}
        self._best: dict[int, Best | None] = {}
        self._copies: dict[int, int] = {}

    def best(self, state: int) -> Best | None:
        """Return the best way to take from a row in that state, None when the need does not fit."""
        if state not in self._best:
            self._best[state] = self._find(state)
        return self._best[state]

    def copies(self, state: int) -> int:
        """Return how many members a row in that state takes, one after another. What takes nothing is none."""
        path = []
        while state not in self._copies and (best := self.best(state)) is not None and best.after != state:
            path.append(state)
            state = best.after
        count = self._copies.setdefault(state, 0)
        for earlier in reversed(path):
            count += 1
            self._copies[earlier] = count
        return count

    def forget_scores(self) -> None:
        """Compare again what is possible: the prices are others."""
        self._best.clear()
        self._copies.clear()

    def _find(self, state: int) -> Best | None:
        known, wants = self._known, self._wants
        possible = self._possible.get(state)
        if possible is None:
            row = known.row(state)
            takings = rows.takings(row, self.need, known.fits)
            possible = [(taking, known.number(taking.row), _groups(row, taking)) for taking in takings]
            self._possible[state] = possible
        if not possible:
            return None
        scored = [(wants(known, state, after), groups, number) for number, (_, after, groups) in enumerate(possible)]
        score, _, number = min(scored)
        taking, after, _ = possible[number]
        return Best(score, known.value(state) - known.value(after), taking, after)


def _groups(row: Row, taking: Taking) -> tuple[int, int]:
    """How many link groups a placement touches, and how much it leaves free in them: whole groups are worth keeping."""
    touched = {row.places[place].group for place in taking.places}
    return len(touched), sum([place.free_milli for place in taking.row.places if place.group in touched])

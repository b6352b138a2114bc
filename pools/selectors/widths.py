"""How much of the inventory a read of candidates looks at: which pools for which model, and how many rows of each."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, NamedTuple

from pools.domain import choices
from pools.domain.candidates import PoolView
from pools.domain.chips import Entry
from pools.domain.request import WHOLE_MILLI, Choice, Share, Wanted
from pools.selectors.placeable import Fleet, Room

ROUNDS: Final = 4
ALMOST: Final = ROUNDS
# Where nobody knows better: free cards of a row, rows that a member looks at.
_CARDS_OF_A_ROW: Final = 4
_ROWS_OF_A_MEMBER: Final = 1.25  # below 1.1 the last of a batch find too little now and then
# Where a pair has fewer states, most of its rows are free and each takes several requests: with more of them a whole
# batch would go into the first pool, which carries one after another.
STATES_LEAST: Final = 4
_PAIRS_MORE: Final = 1  # of each model
_PLENTY: Final = 3  # times what is wanted
_ROWS_SPARE: Final = 1.5  # states have at least a row each, so it comes to more than is needed
_NEAR_ROUND: Final = 2


_Alike = tuple[tuple[Choice, ...], Share | None, int, int]
"""What many requests have in common: choices, share, devices of a member, members."""


@dataclass(frozen=True, slots=True)
class Width:
    """How much to read: pairs of pool and model, states of each, least rows of each state, and most of all together.

    ``needed`` are the rows that do for all.
    """

    pairs: int
    states: int
    rows: int
    most: int
    needed: int = 0

    @property
    def hosts(self) -> int:
        """Return how many hosts of a pool are read for requests without devices."""
        return max(self.states * self.rows, self.needed)


# By round. The last one reads all that could fit, within reason.
_WIDTHS: Final = (
    Width(8, 16, 1, 512),
    Width(32, 32, 8, 2048),
    Width(512, 128, 32, 8192),
    Width(4096, 1024, 256, 16384),
)
# What is too small says why, and what would do: one row of a state does for all that are alike. What many members find
# is seen in pools of which more is read, those with the most free.
_ALMOST: Final = Width(512, 128, 1, 2048)
_ALMOST_ROWS: Final = 64  # of a pair, however few there are
_DEEP_PAIRS: Final = 4
_DEEP_ROWS: Final = 8  # of a state
# Nodes near to each other are found among all rows of few pools.
_NEAR: Final = (Width(8, 1024, 1024, 8192), Width(512, 1024, 1024, 16384))


class Chosen(NamedTuple):
    """A pair of pool and model, the least key of a state to look at, and how many rows of each state at least.

    ``rows_together`` is what the requests for the model need of the pair: its states share it.
    """

    pair: Room
    least: int
    rows: int
    rows_together: int = 0

    def of_state(self, states: int) -> int:
        """Return how many rows are read at most of each of so many states, as the statement has it."""
        return max(self.rows, ceil(self.rows_together / max(states, STATES_LEAST)))


def choose(
    fleet: Fleet,
    pools: Sequence[PoolView],
    wants: Sequence[Wanted],
    chips: Mapping[str, Entry],
    *,
    chance: int,
    round: int,
) -> tuple[Width, list[Chosen], bool]:
    """Return how wide to read, pairs of pool and model, and whether these are all."""
    alike = Counter([(want.any_of, want.share, want.devices_per_member, want.members) for want in wants])
    fitting = _fitting(fleet, pools, alike, chips, chance)
    needed = ceil(sum(count * _rows(devices, members) for (_, _, devices, members), count in alike.items()))
    width = _width(wants, needed, round)
    each = ceil(width.pairs / max(len(fitting), 1)) + _PAIRS_MORE
    of_models = [(of_model, of_model.first(each)) for of_model in fitting]
    is_all = all(len(pairs) == len(of_model.pairs) for of_model, pairs in of_models)
    if width is _ALMOST:
        return width, _almost([(pair, of_model.least) for of_model, pairs in of_models for pair in pairs]), is_all
    chosen = [
        Chosen(pair, of_model.least, width.rows, ceil(of_model.rows / len(pairs)))
        for of_model, pairs in of_models
        for pair in pairs
    ]
    return width, chosen, is_all


def _almost(pairs: Sequence[tuple[Room, int]]) -> list[Chosen]:
    """Return the pairs with few rows of each, and more of those with the most free."""
    rows = max(_ALMOST.rows, _ALMOST_ROWS // max(len(pairs), 1))
    fullest = sorted(pairs, key=lambda each: (each[0].free_whole, each[0].free_milli), reverse=True)[:_DEEP_PAIRS]
    deep = {(pair.pool_id, pair.model_id) for pair, _ in fullest}
    return [
        Chosen(pair, least, max(rows, _DEEP_ROWS) if (pair.pool_id, pair.model_id) in deep else rows)
        for pair, least in pairs
    ]


def _width(wants: Sequence[Wanted], needed: int, round: int) -> Width:
    """Return how wide to read: wider for many and for large ones, since each takes a row of its own or a part of it."""
    near = [want for want in wants if want.members > 1 and _is_level_required(want)]
    if round == ALMOST and not near:
        return _ALMOST
    width = _NEAR[round >= _NEAR_ROUND] if near else _WIDTHS[round]
    largest = max((want.members for want in wants if want.members > 1), default=0)
    most = max(width.most, ceil(needed * _ROWS_SPARE))
    return replace(width, rows=max(width.rows, 2 * largest), most=most, needed=needed)


def _rows(devices: int, members: int) -> float:
    """Return how many rows do for one: what fits two best is rarely the same row, and some are left to choose from."""
    return members * max(devices / _CARDS_OF_A_ROW, _ROWS_OF_A_MEMBER)


def _is_level_required(want: Wanted) -> bool:
    return any(level is not None and level.required for level in (want.topology.members, want.topology.spread))


def is_open(pool: PoolView) -> bool:
    """Return whether new claims are placed there now."""
    return pool.state == "active" and not pool.is_stale


class _Fitting(NamedTuple):
    """Pairs of pool and a model that have enough free, the least key of a state that may have, and what is wanted."""

    pairs: list[Room]
    least: int
    milli: int
    rows: float

    def first(self, count: int) -> list[Room]:
        """Return so many of them, or more until there is plenty for all that is wanted."""
        free, number = 0, 0
        while number < len(self.pairs) and (number < count or free < _PLENTY * self.milli):
            free += self.pairs[number].free_milli
            number += 1
        return self.pairs[:number]


def _fitting(
    fleet: Fleet, pools: Sequence[PoolView], alike: Mapping[_Alike, int], chips: Mapping[str, Entry], chance: int
) -> list[_Fitting]:
    """Return for each model that would do where it is.

    A number by chance says where to begin, so that not all look into the same pools.
    """
    usable = {pool.id for pool in pools if is_open(pool)}
    known = sorted(fleet.room_of)
    least: dict[str, int] = {}
    milli: Counter[str] = Counter()
    rows: dict[str, float] = defaultdict(float)
    for (any_of, share, devices, members), count in alike.items():
        for choice in any_of if devices else ():
            whole = 0 if choice.profile or share else devices
            models = choices.models(choice, known, chips)
            for model in models:
                least[model] = min(least.get(model, whole), whole)
                milli[model] += count * members * devices * (share.milli if share else WHOLE_MILLI) // len(models)
                rows[model] += count * _rows(devices, members) / len(models)
    found = []
    for model, whole in least.items():
        pairs = [pair for pair in fleet.room_of[model] if pair.free_milli > 0 and pair.free_whole >= whole]
        begin = chance % max(len(pairs), 1)
        turned = [pair for pair in pairs[begin:] + pairs[:begin] if pair.pool_id in usable]
        found.append(_Fitting(turned, whole << 32, milli[model], rows[model]))
    return found

"""Where the members of one request go within one group of rows: near to each other, far apart, or anywhere.

Everything here takes on the board and leaves it to the caller to roll back what did not come out.
"""

from collections.abc import Hashable, Iterable
from heapq import heapify, heappop, heappush
from typing import Final

from msgspec import Struct

from pools.domain.board import Board
from pools.domain.candidates import Candidate
from pools.domain.decisions import Decision
from pools.domain.groups import Group
from pools.domain.knowledge import Best
from pools.domain.lanes import Lane, Score
from pools.domain.policies import Policy
from pools.domain.request import Level, Wanted

# Names of a level repeat: rack 1 of one zone is not rack 1 of another.
_WIDER: Final = {"zone": ("region",), "rack": ("region", "zone")}
_TRIED: Final = 8  # domains and groups that are tried to the end: the best by their first member


class Step(Struct, frozen=True):
    """One member's row and the state it was in, the positions that it takes there, and how."""

    slot: int
    state: int
    positions: tuple[int, ...]
    best: Best


class Site:
    """A group of rows on the board, with a lane for all of them and one for each domain of a level.

    ``told`` are brief decisions on one row by its state: those of another row are the same but for where it is.
    """

    def __init__(self, board: Board, group: Group, policy: Policy) -> None:
        self.group = group
        self.policy = policy
        self.ways = board.known.ways(group.need, policy.wants)
        self.told: dict[int, Decision] = {}
        self._board = board
        self._lanes: dict[Hashable, Lane] = {}
        self._domains: dict[tuple[Hashable, str], dict[Hashable, tuple[int, ...]]] = {}

    def lane(self, key: Hashable = None, slots: tuple[int, ...] | None = None) -> Lane:
        """Return the lane of a domain, which ``key`` names, or of the whole group."""
        known = self._lanes.get(key)
        if known is None:
            members = self.group.slots if slots is None else slots
            known = self._lanes[key] = Lane(self._board, self.ways, [(slot, self.group.given) for slot in members])
        return known

    def domains(self, level: str, within: Hashable, slots: tuple[int, ...]) -> dict[Hashable, tuple[int, ...]]:
        """Return the rows of each domain of a level; None has those of which nothing is known."""
        known = self._domains.get((within, level))
        if known is None:
            found: dict[Hashable, list[int]] = {}
            for slot in slots:
                found.setdefault(domain(self._board.slots[slot].candidate, level), []).append(slot)
            known = self._domains[within, level] = {name: tuple(members) for name, members in found.items()}
        return known

    def take(self, lane: Lane) -> Step | None:
        """Take the best of a lane."""
        found = lane.best()
        return None if found is None else self.take_at(found[1], found[2])

    def take_at(self, number: int, best: Best) -> Step:
        """Take from a slot in the best way for it."""
        slot = self._board.slots[number]
        state, positions = slot.state, slot.positions
        number = self._board.take(number, best)
        return Step(number, state, tuple([positions[place] for place in best.taking.places]), best)


def domain(row: Candidate, level: str) -> Hashable:
    """Return what tells a row's domain of a level from all others of its pool, None when it is not known."""
    if level == "node":
        return row.node_id
    if level == "pool":
        return row.pool_id
    if level not in row.domains:
        return None
    return tuple([row.domains.get(name, "") for name in (*_WIDER.get(level, ()), level)])


def place(site: Site, board: Board, wanted: Wanted) -> list[Step] | None:
    """Take a place for every member, or None: then some are taken and have to be rolled back."""
    near = wanted.topology.members if wanted.members > 1 else None
    far = wanted.topology.spread if wanted.members > 1 else None
    slots = site.group.slots
    if near is None or near.level == "pool":
        return _fill(site, None, slots, wanted.members, far)
    domains = site.domains(near.level, None, slots)
    lanes = {name: site.lane((near.level, name), members) for name, members in domains.items()}
    large = [name for name, lane in lanes.items() if name is not None and lane.copies() >= wanted.members]
    best: tuple[float, Hashable] | None = None
    for name in sorted(large, key=lambda name: _first(lanes[name]))[:_TRIED]:
        mark = board.mark()
        steps = _fill(site, (near.level, name), domains[name], wanted.members, far)
        board.rollback(mark)
        if steps is not None and (best is None or _total(steps) < best[0]):
            best = _total(steps), name
    if best is not None:
        return _fill(site, (near.level, best[1]), domains[best[1]], wanted.members, far)
    if near.required:
        return None
    # Where not all fit into one domain, being spread matters more than being in few.
    return _fill(site, None, slots, wanted.members, far) if far else _in_few(site, near, domains, wanted.members)


def _fill(site: Site, key: Hashable, slots: tuple[int, ...], count: int, far: Level | None) -> list[Step] | None:
    """Take ``count`` places among some rows."""
    if far is not None and count > 1:
        return _spread(site, key, slots, count, far)
    lane, steps = site.lane(key, slots), []
    for _ in range(count):
        if (step := site.take(lane)) is None:
            return None
        steps.append(step)
    return steps


def _spread(site: Site, key: Hashable, slots: tuple[int, ...], count: int, far: Level) -> list[Step] | None:
    """Take places in as many domains as possible: always where there are fewest so far, one each where required."""
    domains = site.domains(far.level, key, slots)
    names = [name for name in domains if name is not None or not far.required]
    lanes = [site.lane((key, far.level, name), domains[name]) for name in names]
    heap = [(0, _first(lane), number) for number, lane in enumerate(lanes)]
    heapify(heap)
    steps: list[Step] = []
    while heap and len(steps) < count:
        used, _, number = heappop(heap)
        if (step := site.take(lanes[number])) is None:
            continue
        steps.append(step)
        if not far.required:
            heappush(heap, (used + 1, _first(lanes[number]), number))
    return steps if len(steps) == count else None


def _in_few(site: Site, near: Level, domains: dict[Hashable, tuple[int, ...]], count: int) -> list[Step] | None:
    """Take places in few domains: the largest first, and for the rest the one that suffices and is wanted most."""
    left, steps = dict(domains), list[Step]()
    while len(steps) < count:
        lanes = {name: site.lane((near.level, name), members) for name, members in left.items()}
        copies = {name: lane.copies() for name, lane in lanes.items()}
        if not any(copies.values()):
            return None
        rest = count - len(steps)
        enough = [name for name in left if copies[name] >= rest]
        name = min(enough, key=lambda name: _first(lanes[name])) if enough else max(left, key=lambda name: copies[name])
        before = len(steps)
        for _ in range(min(rest, copies[name])):
            if (step := site.take(lanes[name])) is None:
                break
            steps.append(step)
        if len(steps) == before or not enough:
            del left[name]
    return steps


def _first(lane: Lane) -> Score:
    found = lane.best()
    return found[0] if found else (float("inf"), 0.0)


def _total(steps: Iterable[Step]) -> float:
    return sum(step.best.score for step in steps)

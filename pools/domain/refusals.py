"""Why a request does not fit, for each pool: the reason that is nearest to a fit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from pools.domain.board import Board
from pools.domain.decisions import PoolRefusal, Refusal
from pools.domain.gangs import Site
from pools.domain.request import Wanted
from pools.domain.rows import Need

# The nearest to a fit first; of several reasons the first is told.
CODES: Final = (
    "topology",
    "host_full",
    "too_big",
    "no_capacity",
    "price",
    "stale_pool",
    "grain_ambiguous",
    "not_offered",
    "avoid",
    "not_active",
    "selector",
    "no_model",
    "not_granted",
)
_PLACES: Final = {code: place for place, code in enumerate(CODES)}


def explain(board: Board, wanted: Wanted, ranks: Iterable[tuple[Sequence[Site], Sequence[PoolRefusal]]]) -> Refusal:
    """Return why none of the choices fits on the board as it is now."""
    found: dict[UUID, PoolRefusal] = {}
    for sites, refused in ranks:
        for refusal in (*refused, *(_of_site(board, wanted, site) for site in sites)):
            known = found.get(refusal.pool_id)
            if known is None or _PLACES[refusal.code] < _PLACES[known.code]:
                found[refusal.pool_id] = refusal
    code = min((refusal.code for refusal in found.values()), key=_PLACES.__getitem__, default="no_capacity")
    return Refusal(code=code, pools=tuple(found.values()), is_exhausted=board.view.is_exhausted)


def _of_site(board: Board, wanted: Wanted, site: Site) -> PoolRefusal:
    nodes = sum([board.slots[number].candidate.alike for number in site.group.slots])
    return PoolRefusal(pool_id=site.group.pool.id, code=_code(board, wanted, site), nodes=nodes)


def _code(board: Board, wanted: Wanted, site: Site) -> str:
    """``topology``: it fits but for the levels asked for; ``host_full``: but for CPU and memory of the hosts.

    ``too_big``: the sum suffices, in pieces that are too small.
    """
    need, nodes = site.group.need, _nodes(board, site)
    if site.group.counter is None:
        near = need._replace(group="")
        if _copies(board, site, near, nodes) >= wanted.members:
            return "topology" if _has_levels(wanted) else "host_full"
        bare = near._replace(cpu_milli=0, memory_mib=0)
        if need.form != "cpu" and bare != near and _copies(board, site, bare, nodes) >= wanted.members:
            return "host_full"
    elif not nodes:
        return "no_capacity"
    else:
        counter = board.known.row(board.slots[site.group.counter].state)
        if sum(place.free_milli for place in counter.places) < wanted.devices * need.milli:
            return "no_capacity"
    free_milli = sum(
        [
            count * place.free_milli
            for state, count in nodes.items()
            for place in board.known.row(state).places
            if place.total_milli
        ]
    )
    return "too_big" if need.form != "cpu" and free_milli >= wanted.devices * need.milli else "no_capacity"


def _copies(board: Board, site: Site, need: Need, nodes: Mapping[int, int]) -> int:
    """How many members find a place when rows are looked at one by one."""
    ways = board.known.ways(need, site.policy.wants)
    return sum([count * ways.copies(state) for state, count in nodes.items()])


def _nodes(board: Board, site: Site) -> dict[int, int]:
    """For how many nodes the rows of each state speak."""
    found: dict[int, int] = {}
    for number in site.group.slots:
        slot = board.slots[number]
        count = slot.count if slot.candidate.is_advisory else slot.candidate.alike
        found[slot.state] = found.get(slot.state, 0) + count
    return found


def _has_levels(wanted: Wanted) -> bool:
    topology = wanted.topology
    return any(level is not None and level.required for level in (topology.devices, topology.members, topology.spread))

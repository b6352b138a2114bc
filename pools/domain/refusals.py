"""Why a request does not fit, for each pool: the reason that is nearest to a fit."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from pools.domain.board import Board, Slot
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
    slots = [board.slots[number] for number in site.group.slots]
    nodes = sum(slot.candidate.alike for slot in slots)
    return PoolRefusal(pool_id=site.group.pool.id, code=_code(board, wanted, site), nodes=nodes)


def _code(board: Board, wanted: Wanted, site: Site) -> str:
    """``topology``: it fits but for the levels asked for; ``host_full``: but for CPU and memory of the hosts.

    ``too_big``: the sum suffices, in pieces that are too small.
    """
    need = site.group.need
    slots = [board.slots[number] for number in site.group.slots]
    if site.group.counter is None:
        if _copies(board, site, need._replace(group="")) >= wanted.members:
            return "topology" if _has_levels(wanted) else "host_full"
        bare = need._replace(group="", cpu_milli=0, memory_mib=0)
        if need.form != "cpu" and _copies(board, site, bare) >= wanted.members:
            return "host_full"
    elif not slots:
        return "no_capacity"
    else:
        counter = board.known.row(board.slots[site.group.counter].state)
        if sum(place.free_milli for place in counter.places) < wanted.devices * need.milli:
            return "no_capacity"
    free_milli = sum(
        _nodes(slot) * place.free_milli
        for slot in slots
        for place in board.known.row(slot.state).places
        if place.total_milli
    )
    return "too_big" if need.form != "cpu" and free_milli >= wanted.devices * need.milli else "no_capacity"


def _copies(board: Board, site: Site, need: Need) -> int:
    """How many members find a place when rows are looked at one by one."""
    ways = board.known.ways(need, site.policy.wants)
    slots = [board.slots[number] for number in site.group.slots]
    return sum(_nodes(slot) * ways.copies(slot.state) for slot in slots)


def _nodes(slot: Slot) -> int:
    """For how many nodes a row speaks, that are in its state."""
    return slot.count if slot.candidate.is_advisory else slot.candidate.alike


def _has_levels(wanted: Wanted) -> bool:
    topology = wanted.topology
    return any(level is not None and level.required for level in (topology.devices, topology.members, topology.spread))

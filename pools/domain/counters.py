"""Claims on a pool's own counter, where the platform promises a sum and no node."""

from collections.abc import Sequence

from pools.domain.board import Board
from pools.domain.candidates import Unobserved
from pools.domain.groups import Group, Index
from pools.domain.lanes import Lane
from pools.domain.policies import loss
from pools.domain.rows import Need, Row, Taking


def take(board: Board, group: Group, members: int, takings: Sequence[Taking]) -> tuple[int, int] | None:
    """Take what all members need of the group's counter; return milli and MiB of each, None when it has not so much.

    ``takings`` are how the members would lie on the nodes, empty where no node is known.
    """
    number = group.counter or 0
    state = board.slots[number].state
    milli, mib = _each(board.known.row(state), group.need, takings)
    total = Need("sum", milli=milli * members, mib=mib * members, lease_seconds=group.need.lease_seconds)
    if not milli or (best := board.known.ways(total, loss).best(state)) is None:
        return None
    board.take(number, best)
    return milli, mib


def _each(counter: Row, need: Need, takings: Sequence[Taking]) -> tuple[int, int]:
    """What a member takes of the sum: as much as on the nodes, else so many units and their memory in proportion."""
    if takings:
        return (
            max(taking.milli * len(taking.places) for taking in takings),
            max(taking.mib * len(taking.places) for taking in takings),
        )
    if not counter.places or not counter.places[0].total_milli:
        return 0, 0
    place = counter.places[0]
    is_part = need.form == "share" and counter.unit_milli == 1000
    milli = need.devices * (need.milli if is_part else counter.unit_milli)
    return milli, place.total_mib * milli // place.total_milli


def pack_unobserved(board: Board, index: Index) -> None:
    """Put claims that no node shows yet where they will probably be: what is left there is what can be advised.

    What fits nowhere is left out: the pool's counter has it as claimed already, and nodes are only advice.
    """
    for claims in board.view.unobserved:
        lane = Lane(
            board,
            board.known.ways(_need(board, claims), loss),
            [(number, 0.0) for number in index.advice(claims.pool_id, claims.model or "")],
        )
        for _ in range(claims.count):
            if (found := lane.best()) is None:
                break
            _, number, best = found
            board.take(number, best)


def _need(board: Board, claims: Unobserved) -> Need:
    profile = board.known.profile(claims.model, claims.profile)
    return Need(
        form="profile" if profile else "whole" if claims.milli == 1000 else "share",
        devices=claims.devices,
        milli=claims.milli,
        mib=claims.mib or None if claims.milli < 1000 else None,
        profile=profile,
        cpu_milli=claims.cpu_milli,
        memory_mib=claims.memory_mib,
    )

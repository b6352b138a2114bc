"""What a claim could take from: one read without locks, of so many rows as are needed and no more.

A batch of requests shares one read. Where nothing of it fits, the next one is wider; what is read depends on what is
asked for and not on how large the fleet is.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from pools.domain.candidates import Candidate, PoolView, View
from pools.domain.chips import Entry
from pools.domain.packing import Prices
from pools.domain.profiles import Layout
from pools.domain.request import Wanted
from pools.domain.shapes import Shape
from pools.selectors import candidate_rows, columns, positions, prepared, unobserved, widths
from pools.selectors.placeable import Fleet
from pools.selectors.positions import Positions
from pools.selectors.widths import ALMOST as ALMOST
from pools.selectors.widths import ROUNDS as ROUNDS
from pools.selectors.widths import Chosen, Width

_SHUFFLES: Final = 2**31 - 1
_POOLS_FEW: Final = 16
_POSITIONS: Final = 18  # where COLUMN of positions is in a row
_DOMAINS: Final = 1024
_names: Final = msgspec.json.Decoder(dict[str, str])


@dataclass(slots=True)
class Read:
    """One read of candidates, and what a write needs to know beside.

    How many positions a row has, what lay on its cards, the ids of models, the pools. Rows and pools are found by the
    numbers of their ids, which are hashed many times as fast.
    """

    view: View
    positions: dict[int, int]
    models: dict[str, UUID]
    layouts: dict[tuple[UUID, int], Layout]
    pools: dict[int, PoolView]

    def pool(self, pool_id: UUID) -> PoolView:
        """Return a pool of the view."""
        return self.pools[pool_id.int]

    def without(self, capacity_ids: Set[UUID]) -> "Read":
        """Return it without these rows and what else has their hosts; then it is not all there is."""
        left = tuple([row for row in self.view.candidates if not {row.capacity_id, row.host_id} & capacity_ids])
        there = {id.int for row in left for id in (row.capacity_id, row.host_id) if id}
        is_exhausted = self.view.is_exhausted and len(left) == len(self.view.candidates)
        return dataclasses.replace(
            self,
            view=replace(self.view, candidates=left, is_exhausted=is_exhausted),
            positions={row: count for row, count in self.positions.items() if row in there},
            layouts={card: pieces for card, pieces in self.layouts.items() if card[0].int in there},
        )

    def joined(self, later: "Read") -> "Read":
        """Return what a write needs to know of both, with the view of the later one.

        Of rows that both have it is what the later one saw. What was planned on this one has to be left out of it
        (``without``): a write refuses rows that are not as their plan saw them.
        """
        own = {card: pieces for card, pieces in self.layouts.items() if card[0].int not in later.positions}
        return Read(
            later.view,
            self.positions | later.positions,
            self.models,
            own | later.layouts,
            self.pools | later.pools,
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """What every read of a moment shares: the catalogue, and what room is worth."""

    chips: Mapping[str, Entry]
    prices: Prices
    version: int


def read(
    fleet: Fleet,
    pools: Sequence[PoolView],
    wants: Sequence[Wanted],
    scores: Scores,
    *,
    chance: int,
    round: int,
    now: datetime,
    is_explained: bool = True,
) -> Read:
    """Return what the requests could take from in these pools. One query, and one more where no node is promised.

    ``is_explained``: somebody is told why. Otherwise rows come without nodes, and without what their hosts have free,
    where the decisions do not depend on it.
    ``chance`` is a number by chance, by which readers at the same moment begin at different rows; ``round`` says how
    wide to read, from 0 to ROUNDS - 1, or ALMOST: what is too small as well, of all pools, in few rows.
    """
    width, chosen, is_all = widths.choose(fleet, pools, wants, scores.chips, chance=chance, round=round)
    is_cpu = any(not want.devices_per_member for want in wants)
    hosts = [pool.id for pool in pools if widths.is_open(pool)] if is_cpu else []
    with prepared.cursor() as cursor:
        cursor.execute(
            candidate_rows.FIND[
                is_explained or any(map(_asks_of_nodes, wants)),
                is_explained or any(map(_asks_of_hosts, wants)) or any(map(_takes_of_hosts, scores.prices.weights)),
            ],
            {
                "pools": columns.uuids(each.pair.pool_id for each in chosen),
                "models": columns.uuids(each.pair.model_id for each in chosen),
                "least": columns.bigints([each.least for each in chosen]),
                "rows": columns.bigints([each.rows for each in chosen]),
                "rows_together": columns.bigints([each.rows_together for each in chosen]),
                "states": width.states,
                "host_pools": columns.uuids(hosts[: width.pairs]),
                "hosts": width.hosts,
                "chance": chance % _SHUFFLES,
                "most": width.most,
            },
        )
        found = cursor.fetchall()
    is_all = is_all and len(hosts) <= width.pairs and _is_all(found, width, chosen)
    if round == 0 and len(pools) > _POOLS_FEW:
        # The others could only say why they do not do, which is asked when none of these does.
        near = {each.pair.pool_id for each in chosen} | set(hosts[: width.pairs])
        pools, is_all = [pool for pool in pools if pool.id in near], False
    return built(
        found,
        pools,
        scores,
        fleet.models,
        lambda row: positions.read(row[_POSITIONS], now),
        is_exhausted=is_all,
        now=now,
    )


def full(before: Read, capacity_ids: Collection[UUID], *, now: datetime) -> tuple[Candidate, ...]:
    """Return rows with those cards too of which all is given out, so that it can be thought of as free. One query."""
    with prepared.cursor() as cursor:
        cursor.execute(candidate_rows.AGAIN, [columns.uuids(capacity_ids)])
        found = [row for row in cursor.fetchall() if row[1].int in before.pools]
    return tuple([_candidate(row, positions.read(row[_POSITIONS], now, is_full=True), now) for row in found])


def again(before: Read, capacity_ids: Collection[UUID], *, now: datetime) -> Read:
    """Return the same rows of an earlier read and their hosts as they are now. One query."""
    with prepared.cursor() as cursor:
        cursor.execute(candidate_rows.AGAIN, [columns.uuids(capacity_ids)])
        found = [row for row in cursor.fetchall() if row[0].int in before.positions]
    scores = Scores(before.view.chips, before.view.prices, before.view.prices_version)
    return built(
        found,
        before.view.pools,
        scores,
        before.models,
        lambda row: positions.read(row[_POSITIONS], now),
        is_exhausted=False,
        now=now,
    )


def built(
    found: Sequence[Any],
    pools: Sequence[PoolView],
    scores: Scores,
    models: dict[str, UUID],
    positions_of: Callable[[Sequence[Any]], Positions],
    *,
    is_exhausted: bool,
    now: datetime,
) -> Read:
    """Return a read of rows that begin as those of candidate_rows do; ``positions_of`` says what is free of one row."""
    there = [positions_of(row) for row in found]
    rows = tuple([_candidate(row, each, now) for row, each in zip(found, there, strict=True)])
    advised = {row.pool_id for row in rows if row.is_advisory}
    view = View(
        pools=tuple(pools),
        candidates=rows,
        unobserved=unobserved.of(advised) if advised else (),
        chips=scores.chips,
        prices=scores.prices,
        prices_version=scores.version,
        is_exhausted=is_exhausted,
    )
    return Read(
        view,
        positions={row[12].int: 1 for row in found if row[12]}
        | {row[0].int: each.length for row, each in zip(found, there, strict=True)},
        models=models,
        layouts={
            (row.capacity_id, card.position): card.pieces
            for row in view.candidates
            for card in row.cards
            if card.pieces
        },
        pools={pool.id.int: pool for pool in pools},
    )


def _asks_of_nodes(wanted: Wanted) -> bool:
    topology = wanted.topology
    return topology.members is not None or topology.spread is not None or bool(topology.avoid.nodes)


def _asks_of_hosts(wanted: Wanted) -> bool:
    return bool(wanted.per_member.cpu_milli or wanted.per_member.memory_mib) or not wanted.devices_per_member


def _takes_of_hosts(shape: Shape) -> bool:
    return bool(shape.cpu_milli or shape.memory_mib)


def _is_all(found: Sequence[Any], width: Width, chosen: Sequence[Chosen]) -> bool:
    """Whether no limit was met: then there is nothing more that could fit."""
    if len(found) >= width.most:
        return False
    of_state = Counter((row[1], row[5], row[10]) for row in found if row[4] != "host")
    of_pair = Counter((pool, model) for pool, model, _ in of_state)
    hosts = Counter(row[1] for row in found if row[4] == "host")
    rows = {(each.pair.pool_id, each.pair.model): each for each in chosen}
    return (
        all(count < rows[pool, model].of_state(of_pair[pool, model]) for (pool, model, _), count in of_state.items())
        and all(count < width.states for count in of_pair.values())
        and all(count < width.hosts for count in hosts.values())
    )


def _candidate(row: Sequence[Any], there: Positions, now: datetime) -> Candidate:
    (
        capacity_id, pool_id, node_id, node_name, kind, model, profile, resource, unit_milli, is_advisory, state_key,
        topology, host_id, cpu_free_milli, memory_free_mib, *booked, _positions,
    ) = row[: _POSITIONS + 1]  # fmt: skip
    candidate = Candidate(
        capacity_id=capacity_id,
        pool_id=pool_id,
        node_id=node_id,
        kind=kind,
        model=model,
        profile=profile,
        resource=resource,
        unit_milli=unit_milli,
        cards=() if kind == "host" else there.cards,
        state_key=state_key,
        is_advisory=is_advisory,
        units=there.units if kind == "cards" else 0,
    )
    if node_name is None and host_id is None:  # nobody looked them up
        return candidate
    booked_in_seconds, cpu_later_milli, memory_later_mib = None, 0, 0
    if booked[0] is not None:
        booked_in_seconds, cpu_later_milli, memory_later_mib = positions.until_booked(
            booked, cpu_free_milli or 0, memory_free_mib or 0, now
        )
    return replace(
        candidate,
        node_name=node_name or "",
        host_id=host_id,
        cpu_free_milli=cpu_free_milli or 0,
        memory_free_mib=memory_free_mib or 0,
        host_booked_in_seconds=booked_in_seconds,
        cpu_later_milli=cpu_later_milli,
        memory_later_mib=memory_later_mib,
        domains=_domains(topology) if topology else {},
    )


@lru_cache(_DOMAINS)
def _domains(topology: str) -> Mapping[str, str]:
    return _names.decode(topology)

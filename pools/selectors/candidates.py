"""What a claim could take from: one read without locks, of so many rows as are needed and no more.

A batch of requests shares one read. Where nothing of it fits, the next one is wider; what is read depends on what is
asked for and not on how large the fleet is.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest
from operator import gt
from typing import Any, Final
from uuid import UUID

import msgspec

from pools.domain import choices
from pools.domain.candidates import Candidate, Card, PoolView, View
from pools.domain.chips import Entry
from pools.domain.packing import Prices
from pools.domain.profiles import Layout
from pools.domain.request import Wanted
from pools.selectors import prepared, unobserved
from pools.selectors.placeable import Fleet, Room

ROUNDS: Final = 4
_SHUFFLES: Final = 2**31 - 1
_CARDS_OF_A_ROW: Final = 4  # free ones, where nobody knows better
_NEAR_ROUND: Final = 2
_POOLS_FEW: Final = 16
_TOTAL: Final = 15  # where the milli of each position are in a row
_FAULTY: Final = 24


@dataclass(frozen=True, slots=True)
class _Width:
    """How much to read: pairs of pool and model, states of each, rows of each state, and of all together."""

    pairs: int
    states: int
    rows: int
    most: int


# By round. The last one reads all that could fit, within reason.
_WIDTHS: Final = (
    _Width(8, 16, 1, 512),
    _Width(32, 32, 8, 2048),
    _Width(512, 128, 32, 8192),
    _Width(4096, 1024, 256, 16384),
)
# Nodes near to each other are found among all rows of few pools.
_NEAR: Final = (_Width(8, 1024, 1024, 8192), _Width(512, 1024, 1024, 16384))

COLUMNS: Final = """
SELECT c.id, c.pool_id, c.node_id, n.name, c.kind, m.slug, c.profile, c.resource, c.unit_milli, c.is_advisory,
    c.state_key, n.topology, h.id, h.free_milli, h.free_mib, c.pos_total_milli, c.pos_total_mib, c.layout,
    c.pos_claimed_milli, c.pos_claimed_mib, c.pos_held_milli, c.pos_held_mib, c.pos_shadow_milli, c.pos_shadow_mib,
    c.pos_faulty_milli, c.pos_faulty_mib, c.pos_link_group, c.pos_booked_from_at, c.pos_booked_peak_milli"""
JOINS: Final = """
    LEFT JOIN chip_model m ON m.id = c.model_id
    LEFT JOIN LATERAL (SELECT name, topology FROM node WHERE id = c.node_id OFFSET 0) n ON true
    LEFT JOIN LATERAL (SELECT id, kind, free_milli, free_mib FROM capacity WHERE node_id = c.node_id OFFSET 0) h
        ON h.kind = 'host'
ORDER BY c.state_key, c.id"""
# A loose index scan: it jumps from state to state in the index capacity_free, and takes of each some rows from a number
# by chance on. Pools that promise no node also give their own counters.
_FIND: Final = f"""
WITH RECURSIVE pair AS (
    SELECT * FROM unnest(%(pools)s::uuid[], %(models)s::uuid[], %(least)s::bigint[]) pair (pool_id, model_id, least)),
state AS (
    SELECT p.pool_id, p.model_id, least.state_key, 1 AS number
    FROM pair p CROSS JOIN LATERAL (
        SELECT state_key FROM capacity c WHERE c.pool_id = p.pool_id AND c.model_id = p.model_id AND c.free_milli > 0
            AND c.state_key >= p.least ORDER BY c.pool_id, c.model_id, c.state_key LIMIT 1) least
    UNION ALL
    SELECT s.pool_id, s.model_id, following.state_key, s.number + 1
    FROM state s CROSS JOIN LATERAL (
        SELECT state_key FROM capacity c WHERE c.pool_id = s.pool_id AND c.model_id = s.model_id AND c.free_milli > 0
            AND c.state_key > s.state_key ORDER BY c.pool_id, c.model_id, c.state_key LIMIT 1) following
    WHERE s.number < %(states)s),
found AS (
    SELECT near.id FROM state s CROSS JOIN LATERAL (
        (SELECT c.id FROM capacity c WHERE c.pool_id = s.pool_id AND c.model_id = s.model_id AND c.free_milli > 0
            AND c.state_key = s.state_key AND c.shuffle >= %(chance)s
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT %(rows)s)
        UNION ALL
        (SELECT c.id FROM capacity c WHERE c.pool_id = s.pool_id AND c.model_id = s.model_id AND c.free_milli > 0
            AND c.state_key = s.state_key AND c.shuffle < %(chance)s
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT %(rows)s)
        LIMIT %(rows)s) near
    UNION
    SELECT c.id FROM pair p JOIN capacity c ON c.pool_id = p.pool_id AND c.node_id IS NULL AND c.kind = 'counter'
        AND c.model_id = p.model_id
    UNION
    SELECT near.id FROM unnest(%(host_pools)s::uuid[]) p (pool_id) CROSS JOIN LATERAL (
        (SELECT c.id FROM capacity c WHERE c.pool_id = p.pool_id AND c.model_id IS NULL AND c.kind = 'host'
            AND c.free_milli > 0 AND c.state_key = 0 AND c.shuffle >= %(chance)s
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT %(hosts)s)
        UNION ALL
        (SELECT c.id FROM capacity c WHERE c.pool_id = p.pool_id AND c.model_id IS NULL AND c.kind = 'host'
            AND c.free_milli > 0 AND c.state_key = 0 AND c.shuffle < %(chance)s
            ORDER BY c.pool_id, c.model_id, c.state_key, c.shuffle LIMIT %(hosts)s)
        LIMIT %(hosts)s) near)
{COLUMNS}
FROM (SELECT id FROM found LIMIT %(most)s) f CROSS JOIN LATERAL (SELECT * FROM capacity WHERE id = f.id) c
{JOINS}
"""
_AGAIN: Final = f"{COLUMNS} FROM capacity c {JOINS.replace('ORDER', 'WHERE c.id = ANY(%s) ORDER')}"
_layouts: Final = msgspec.json.Decoder(dict[int, Layout])


@dataclass(slots=True)
class Read:
    """One read of candidates, and what a write needs to know beside.

    How many positions a row has, what lay on its cards, the ids of models, the pools by id.
    """

    view: View
    positions: dict[UUID, int]
    models: dict[str, UUID]
    layouts: dict[tuple[UUID, int], Layout]
    pools: dict[UUID, PoolView]

    def pool(self, pool_id: UUID) -> PoolView:
        """Return a pool of the view."""
        return self.pools[pool_id]


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
) -> Read:
    """Return what the requests could take from in these pools. One query, and one more where no node is promised.

    ``chance`` is a number by chance, by which readers at the same moment begin at different rows; ``round`` says how
    wide to read, from 0 to ROUNDS - 1.
    """
    pairs = _pairs(fleet, pools, wants, scores.chips, chance)
    width = _width(wants, round, len(pairs))
    hosts = [pool.id for pool in pools if _is_open(pool)] if any(not want.devices_per_member for want in wants) else []
    chosen = pairs[: width.pairs]
    with prepared.cursor() as cursor:
        cursor.execute(
            _FIND,
            {
                "pools": [pair.pool_id for pair, _ in chosen],
                "models": [pair.model_id for pair, _ in chosen],
                "least": [least for _, least in chosen],
                "states": width.states,
                "rows": width.rows,
                "host_pools": hosts[: width.pairs],
                "hosts": width.states * width.rows,
                "chance": chance % _SHUFFLES,
                "most": width.most,
            },
        )
        found = cursor.fetchall()
    is_all = len(pairs) <= width.pairs and len(hosts) <= width.pairs and _is_all(found, width)
    if round == 0 and len(pools) > _POOLS_FEW:
        # The others could only say why they do not do, which is asked when none of these does.
        near = {pair.pool_id for pair, _ in chosen} | set(hosts[: width.pairs])
        pools, is_all = [pool for pool in pools if pool.id in near], False
    models = {pair.model: pair.model_id for pair in fleet.room}
    return built(found, pools, scores, models, lambda row: _cards(row, now), is_exhausted=is_all)


def full(before: Read, capacity_ids: Collection[UUID], *, now: datetime) -> tuple[Candidate, ...]:
    """Return rows with those cards too of which all is given out, so that it can be thought of as free. One query."""
    with prepared.cursor() as cursor:
        cursor.execute(_AGAIN, [list(capacity_ids)])
        found = [row for row in cursor.fetchall() if row[1] in before.pools]
    return tuple([_candidate(row, lambda row: _cards(row, now, is_full=True)) for row in found])


def again(before: Read, capacity_ids: Collection[UUID], *, now: datetime) -> Read:
    """Return the same rows of an earlier read and their hosts as they are now. One query."""
    with prepared.cursor() as cursor:
        cursor.execute(_AGAIN, [list(capacity_ids)])
        found = [row for row in cursor.fetchall() if row[0] in before.positions]
    scores = Scores(before.view.chips, before.view.prices, before.view.prices_version)
    return built(found, before.view.pools, scores, before.models, lambda row: _cards(row, now), is_exhausted=False)


def built(
    found: Sequence[Any],
    pools: Sequence[PoolView],
    scores: Scores,
    models: dict[str, UUID],
    cards: Callable[[Sequence[Any]], tuple[Card, ...]],
    *,
    is_exhausted: bool,
) -> Read:
    """Return a read of rows with COLUMNS; ``cards`` says what is free on those of one row."""
    rows = tuple([_candidate(row, cards) for row in found])
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
        positions={row[12]: 1 for row in found if row[12]} | {row[0]: len(row[15]) for row in found},
        models=models,
        layouts={
            (row.capacity_id, card.position): card.pieces
            for row in view.candidates
            for card in row.cards
            if card.pieces
        },
        pools={pool.id: pool for pool in pools},
    )


def _width(wants: Sequence[Wanted], round: int, pairs: int) -> _Width:
    """Return how wide to read: wider for many and for large ones, since each takes a row of its own or a part of it."""
    near = [want for want in wants if want.members > 1 and _is_level_required(want)]
    width = _NEAR[round >= _NEAR_ROUND] if near else _WIDTHS[round]
    rows = sum(want.members * max(want.devices_per_member, 1) for want in wants) // _CARDS_OF_A_ROW
    largest = max((want.members for want in wants if want.members > 1), default=0)
    models = len({want.any_of for want in wants})
    return replace(
        width,
        pairs=width.pairs + 2 * models,
        rows=max(width.rows, 2 * largest, -(-rows // (_CARDS_OF_A_ROW * max(min(pairs, width.pairs), 1)))),
        most=max(width.most, rows),
    )


def _is_level_required(want: Wanted) -> bool:
    return any(level is not None and level.required for level in (want.topology.members, want.topology.spread))


def _is_all(found: Sequence[Any], width: _Width) -> bool:
    """Whether no limit was met: then there is nothing more that could fit."""
    of_state = Counter((row[1], row[5], row[10]) for row in found if row[4] != "host")
    of_pair = Counter((pool, model) for pool, model, _ in of_state)
    hosts = Counter(row[1] for row in found if row[4] == "host")
    return (
        len(found) < width.most
        and all(count < width.rows for count in of_state.values())
        and all(count < width.states for count in of_pair.values())
        and all(count < width.states * width.rows for count in hosts.values())
    )


def _is_open(pool: PoolView) -> bool:
    return pool.state == "active" and not pool.is_stale


def _pairs(
    fleet: Fleet, pools: Sequence[PoolView], wants: Sequence[Wanted], chips: Mapping[str, Entry], chance: int
) -> list[tuple[Room, int]]:
    """Return pairs of pool and model that have enough free, each with the least key of a state that may have.

    A number by chance says where to begin, so that not all look into the same pools.
    """
    usable = {pool.id for pool in pools if _is_open(pool)}
    known = sorted(fleet.room_of)
    least: dict[str, int] = {}
    for any_of, is_share, devices in {(want.any_of, want.share is not None, want.devices_per_member) for want in wants}:
        for choice in any_of if devices else ():
            whole = 0 if choice.profile or is_share else devices
            for model in choices.models(choice, known, chips):
                least[model] = min(least.get(model, whole), whole)
    fitting: list[list[tuple[Room, int]]] = []
    for model, whole in least.items():
        pairs = [pair for pair in fleet.room_of[model] if pair.free_milli > 0 and pair.free_whole >= whole]
        begin = chance % max(len(pairs), 1)
        turned = pairs[begin:] + pairs[:begin]
        fitting.append([(pair, whole << 32) for pair in turned if pair.pool_id in usable])
    # Of each model in turn, so that none has to wait for a wider read because of the others.
    return [pair for pairs in zip_longest(*fitting) for pair in pairs if pair is not None]


def _candidate(row: Sequence[Any], cards: Callable[[Sequence[Any]], tuple[Card, ...]]) -> Candidate:
    (
        capacity_id, pool_id, node_id, node_name, kind, model, profile, resource, unit_milli, is_advisory, state_key,
        topology, host_id, cpu_free_milli, memory_free_mib, *_positions,
    ) = row  # fmt: skip
    return Candidate(
        capacity_id=capacity_id,
        pool_id=pool_id,
        node_id=node_id,
        node_name=node_name or "",
        kind=kind,
        model=model,
        profile=profile,
        resource=resource,
        unit_milli=unit_milli,
        cards=() if kind == "host" else cards(row),
        host_id=host_id,
        cpu_free_milli=cpu_free_milli or 0,
        memory_free_mib=memory_free_mib or 0,
        domains=msgspec.json.decode(topology) if topology else {},
        state_key=state_key,
        is_advisory=is_advisory,
        units=sum(map(gt, row[_TOTAL], row[_FAULTY])) if kind == "cards" else 0,
    )


def pieces_of(row: Sequence[Any]) -> dict[int, Layout]:
    """Return what lies on the cards of a row with COLUMNS, by position."""
    return _layouts.decode(row[17]) if row[17] != "{}" else {}


def _cards(row: Sequence[Any], now: datetime, *, is_full: bool = False) -> tuple[Card, ...]:
    """Return what is free at each position where anything is; full ones too where only claims are in the way."""
    total_milli, total_mib, _, *taken, groups, booked_from, booked_peak = row[15:]
    pieces = pieces_of(row)
    cards = []
    for index, total in enumerate(total_milli):
        free = total - taken[0][index] - taken[2][index] - taken[4][index] - taken[6][index]
        if free <= 0 and not (is_full and total > 0 == taken[4][index] + taken[6][index]):
            continue
        free_mib = total_mib[index] - taken[1][index] - taken[3][index] - taken[5][index] - taken[7][index]
        booked_at = booked_from[index] if index < len(booked_from) else None
        cards.append(
            Card(
                index + 1,
                max(free, 0),
                max(free_mib, 0),
                total,
                total_mib[index],
                groups[index] if index < len(groups) else "",
                pieces.get(index + 1, ()),
                None if booked_at is None else max(int((booked_at - now).total_seconds()), 0),
                free - booked_peak[index] if booked_at is not None else 0,
            )
        )
    return tuple(cards)

"""What is placed by a read of some candidates from PostgreSQL is hardly less than by a read of all."""

import random

import pytest
from django.db import connection

from pools.domain.decisions import Decision
from pools.domain.planner import Draft
from pools.domain.request import Choice, PerMember, Share, Wanted
from pools.domain.shapes import Shape
from pools.selectors import candidates, packing, placeable, widths
from pools.selectors.candidates import Scores
from pools.selectors.widths import Width
from pools.services import models, packing_prices
from tests.factories import node
from tests.services.asking import H100, World

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = (  # devices, milli, CPU, how often of 20
    (1, 1000, 4000, 6),
    (1, 500, 2000, 6),
    (1, 250, 1000, 3),
    (2, 1000, 8000, 2),
    (4, 1000, 16_000, 2),
    (8, 1000, 32_000, 1),
)
ALL = Width(100, 10_000, 10_000, 100_000)
_TAKE = """
UPDATE capacity SET pos_claimed_milli = added(pos_claimed_milli, %(places)s::integer[], %(milli)s::integer[]),
    pos_claimed_mib = added(pos_claimed_mib, %(places)s::integer[], %(mib)s::bigint[]) WHERE id = %(id)s
"""
_EMPTY = """
UPDATE capacity SET pos_claimed_milli = array_fill(0, ARRAY[cardinality(pos_total_milli)]),
    pos_claimed_mib = array_fill(0::bigint, ARRAY[cardinality(pos_total_milli)])
"""


def requests(seed, milli):
    source, asked = random.Random(seed), 0
    while asked < milli:
        devices, part, cpu_milli, _ = source.choices(KINDS, [kind[3] for kind in KINDS])[0]
        asked += devices * part
        share = None if part == 1000 else Share(milli=part)
        host = PerMember(cpu_milli=cpu_milli)
        yield Wanted(
            project="acme", any_of=(Choice(model=H100),), devices_per_member=devices, share=share, per_member=host
        )


def place(world, wanted, chance):
    """Decide as a claim does, from wider and wider reads, and take it; how much it is, and of how many rows."""
    fleet = placeable.fleet(world.clock.now)
    version, prices = packing.current()
    scores = Scores(models.current().by_slug, prices, version)
    pools = fleet.usable(tuple(world.project.lineage))
    for round in range(candidates.ROUNDS):
        read = candidates.read(fleet, pools, [wanted], scores, chance=chance, round=round, now=world.clock.now)
        decision = Draft(read.view, is_explained=False).decide(wanted)
        if isinstance(decision, Decision) or read.view.is_exhausted:
            break
    if not isinstance(decision, Decision):
        return 0, len(read.view.candidates)
    for member in decision.members:
        take(member.capacity_id, member.positions, member.milli, member.mib)
        take(member.host_id, (1,), member.cpu_milli, 0)
    return decision.milli, len(read.view.candidates)


def take(row_id, positions, milli, mib):
    count = len(positions)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"places": list(positions), "milli": [milli] * count, "mib": [mib] * count, "id": row_id})


def fill(world):
    """How much of all that is asked for is placed in an empty fleet, in milli-devices, and how many rows were read."""
    with connection.cursor() as cursor:
        cursor.execute(_EMPTY)
    packing_prices._noted = packing_prices._Noted()
    counts = {Shape(cpu, 0, devices, milli, frozenset({H100})): often for devices, milli, cpu, often in KINDS}
    packing_prices.note(counts, now=world.clock.now)
    packing_prices.renew(now=world.clock.now)
    placed = read = 0
    for number, wanted in enumerate(requests(7, 210_000)):
        milli, rows = place(world, wanted, chance=number * 7919)
        placed, read = placed + milli, read + rows
        if number % 20 == 0:
            packing_prices.renew(now=world.clock.now)
    return placed, read


class TestARead:
    def test_of_some_candidates_does_not_lose_the_quality_of_a_read_of_all(self, monkeypatch):
        world = World(*[node(f"n{i}", devices=8 if i < 20 else 4) for i in range(32)])
        some, read = fill(world)
        monkeypatch.setattr(widths, "_WIDTHS", (ALL,) * candidates.ROUNDS)

        every, read_in_all = fill(world)

        assert read < 0.8 * read_in_all
        assert every > 0.9 * 210_000
        assert some > 0.99 * every

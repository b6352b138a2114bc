"""Small reads for tests of decisions: pools and nodes that can be counted by hand."""

from collections import Counter
from functools import cache
from pathlib import Path
from uuid import UUID

from pools.domain import catalogue, rows
from pools.domain.candidates import Candidate, Card, PoolView, View
from pools.domain.packing import Prices
from pools.domain.request import Choice, Wanted
from pools.domain.shapes import Shape

H100 = "nvidia-h100-80gb"
A100 = "nvidia-a100-80gb"
ASCEND = "huawei-ascend-910b"
MIB = 81_559
MIX = {Shape(0, 0, 8, 1000): 1, Shape(0, 0, 1, 1000): 6, Shape(0, 0, 1, 250): 3}


@cache
def chips():
    return catalogue.load(Path("pools/catalogue")).by_slug


def pool(number=1, **fields):
    return PoolView(**{"id": UUID(int=number), "name": f"pool-{number}", **fields})


def node(number, free=(1000,) * 8, *, of=1, groups=None, model=H100, mib=MIB, host=True, **fields):
    """A node with a card for each of ``free``; ``groups`` are their link groups."""
    cards = tuple(
        Card(position, milli, mib * milli // 1000, 1000, mib, (groups or [""] * len(free))[position - 1])
        for position, milli in enumerate(free, start=1)
    )
    return Candidate(
        **{
            "capacity_id": UUID(int=1000 + number),
            "pool_id": UUID(int=of),
            "node_id": UUID(int=2000 + number),
            "node_name": f"n{number}",
            "model": model,
            "cards": cards,
            "host_id": UUID(int=3000 + number) if host else None,
            "cpu_free_milli": 64_000 if host else 0,
            "memory_free_mib": 512_000 if host else 0,
            **fields,
        }
    )


def counter(number, units, *, of=1, total=None, model=H100, unit_milli=1000, mib=MIB, **fields):
    """A pool's own counter, or with ``node_id`` one of a node."""
    total = units if total is None else total
    unit_mib = mib * unit_milli // 1000
    card = Card(1, units * unit_milli, units * unit_mib, total * unit_milli, total * unit_mib)
    return Candidate(
        **{
            "capacity_id": UUID(int=1000 + number),
            "pool_id": UUID(int=of),
            "kind": "counter",
            "model": model,
            "unit_milli": unit_milli,
            "cards": (card,),
            **fields,
        }
    )


def view(*candidates, pools=None, mix=None, **fields):
    states = Counter(rows.seen_as(rows.read(row, "")[0]) for row in candidates if row.node_id is not None)
    return View(
        pools=pools or (pool(),),
        candidates=candidates,
        chips=chips(),
        prices=Prices(MIX if mix is None else mix, states),
        **fields,
    )


def want(*models, **fields):
    """A request for one whole H100 unless said otherwise."""
    any_of = tuple(Choice(model=model) for model in models or (H100,))
    return Wanted(**{"project": "acme", "any_of": any_of if fields.get("devices_per_member", 1) else (), **fields})

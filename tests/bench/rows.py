"""The many rows of a fleet as text of the COPY format.

The text is made by hand: a million calls that adapt one value after the other cost more than PostgreSQL's part.
"""

import random

from tests.bench.fleet import (
    CARD_ROW,
    CARDS,
    DEVICE,
    DEVICES_PER_LINK_GROUP,
    HOST_ROW,
    MODEL,
    NODE,
    NODES_PER_RACK,
    POOL,
    RACKS_PER_ZONE,
    Fleet,
    key,
)

NODE_COLUMNS = (
    "id pool_id ref name uuid serial topology topology_path labels cpu_milli memory_mib cpu_used_milli memory_used_mib"
    " device_count is_available unavailable_reason unknown_resources fingerprint misses loss_accepted created_at"
    " changed_at"
)
DEVICE_COLUMNS = (
    "id pool_id node_id ref index vendor model_id model_text uuid serial pci_id pci_address memory_mib total_milli"
    " shadow_milli shadow_mib health health_reason link_group numa_node uses attributes capacity_id position misses"
    " created_at changed_at"
)
CAPACITY_COLUMNS = (
    "id pool_id node_id kind model_id resource is_advisory unit_milli units uses device_ids"
    " pos_total_milli pos_total_mib pos_shadow_milli pos_shadow_mib pos_faulty_milli pos_faulty_mib"
    " pos_claimed_milli pos_claimed_mib pos_held_milli pos_held_mib layout total_milli claimed_milli held_milli"
    " shadow_milli faulty_milli free_milli free_mib free_whole max_free_milli ceiling_milli"
)
DERIVED = "0\t0\t0\t0\t0\t0\t0\t0\t0"  # the trigger computes them
CPU_MILLI, MEMORY_MIB = 128_000, 2_097_152


def write_node(texts: dict[str, list[str]], fleet: Fleet, node: int, at: str, rng: random.Random) -> None:
    pool = fleet.pool_of(node)
    count = min(fleet.devices_per_node, fleet.devices - node * fleet.devices_per_node)
    # A pool has a few models, as one buys them by the rack.
    model = (pool * 3 + node // NODES_PER_RACK % 4) % fleet.models
    vendor, name, memory_mib = CARDS[model % len(CARDS)]
    node_id, pool_id = key(NODE, fleet.seed, node), key(POOL, fleet.seed, pool)
    model_id, capacity_id = key(MODEL, fleet.seed, model), key(CARD_ROW, fleet.seed, node)
    taken, faulty, shadow = _fates(fleet, count, rng)

    rack, zone, region = node // NODES_PER_RACK, node // NODES_PER_RACK // RACKS_PER_ZONE, f"region-{pool % 8}"
    is_available, why = ("f", "cordoned") if node % 100 == 99 else ("t", "")
    share = sum(taken) * 100 // max(count, 1)
    cpu_used, memory_used = CPU_MILLI * share // 100, MEMORY_MIB * share // 100
    texts["node"].append(
        f"{node_id}\t{pool_id}\tref-{node:07d}\tnode-{node:07d}\t{node_id}\tSN{node:09d}\t"
        f'{{"region": "{region}", "zone": "zone-{zone}", "rack": "rack-{rack}"}}\t{region}/zone-{zone}/rack-{rack}\t'
        f'{{"kernel": "6.8.0", "role": "worker"}}\t{CPU_MILLI}\t{MEMORY_MIB}\t{cpu_used}\t{memory_used}\t{count}\t'
        f"{is_available}\t{why}\t{{}}\t{node}\t0\tf\t{at}\t{at}\n"
    )
    first = node * fleet.devices_per_node
    for i in range(count):
        is_well = not faulty[i]
        uses = f'[{{"holder": "vm-{first + i}", "milli": 1000, "memory_mib": {memory_mib}, "marker": null}}]'
        texts["device"].append(
            f"{key(DEVICE, fleet.seed, first + i)}\t{pool_id}\t{node_id}\tcard-{i}\t{i}\t{vendor}\t{model_id}\t{name}\t"
            f"GPU-{fleet.seed:04x}-{first + i:012x}\t\\N\t10de:2330\t0000:{i:02x}:00.0\t{memory_mib}\t1000\t"
            f"{1000 if shadow[i] else 0}\t{memory_mib if shadow[i] else 0}\t{'ok' if is_well else 'faulty'}\t"
            f"{'' if is_well else 'XID 79: fallen off the bus'}\tlink-{i // DEVICES_PER_LINK_GROUP}\t{i * 2 // count}\t"
            f"{uses if shadow[i] or taken[i] else '[]'}\t{{}}\t{capacity_id}\t{i + 1}\t0\t{at}\t{at}\n"
        )
    device_ids = ",".join(key(DEVICE, fleet.seed, first + i) for i in range(count))
    texts["capacity"].append(
        f"{capacity_id}\t{pool_id}\t{node_id}\tcards\t{model_id}\t\tf\t1000\t{count}\t[]\t{{{device_ids}}}\t"
        + _positions([1] * count, memory_mib)
        + "".join("\t" + _positions(which, memory_mib) for which in (shadow, faulty, taken, [0] * count))
        + f"\t{{}}\t{DERIVED}\t{count * 1000}\n"
        f"{key(HOST_ROW, fleet.seed, node)}\t{pool_id}\t{node_id}\thost\t\\N\t\tf\t1000\t1\t[]\t{{}}\t"
        f"{{{CPU_MILLI}}}\t{{{MEMORY_MIB}}}\t{{0}}\t{{0}}\t{{0}}\t{{0}}\t{{{cpu_used}}}\t{{{memory_used}}}\t{{0}}\t{{0}}"
        f"\t{{}}\t{DERIVED}\t{CPU_MILLI}\n"
    )


def _fates(fleet: Fleet, count: int, rng: random.Random) -> tuple[list[int], list[int], list[int]]:
    """Return for each card of a node whether it is taken, faulty, in shadow use: at most one of them."""
    below_faulty = fleet.taken_percent + fleet.faulty_percent
    draws = [rng.random() * 100 for _ in range(count)]
    taken = [int(draw < fleet.taken_percent) for draw in draws]
    faulty = [int(fleet.taken_percent <= draw < below_faulty) for draw in draws]
    return taken, faulty, [int(below_faulty <= draw < below_faulty + fleet.shadow_percent) for draw in draws]


def _positions(which: list[int], memory_mib: int) -> str:
    milli = ",".join("1000" if one else "0" for one in which)
    mib = ",".join(str(memory_mib) if one else "0" for one in which)
    return f"{{{milli}}}\t{{{mib}}}"

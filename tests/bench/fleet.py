"""A made-up fleet of any size. The same seed makes the same fleet."""

from dataclasses import dataclass

NODES_PER_RACK = 16
RACKS_PER_ZONE = 20
DEVICES_PER_LINK_GROUP = 4
KINDS = ("kubernetes", "openstack", "simulated")

CARDS = (
    ("nvidia", "H100 SXM5 80GB", 81559), ("nvidia", "H200 SXM 141GB", 143771), ("nvidia", "A100 SXM4 80GB", 81920),
    ("nvidia", "A100 SXM4 40GB", 40960), ("nvidia", "L40S 48GB", 46068), ("nvidia", "L4 24GB", 23034),
    ("nvidia", "B200 192GB", 183359), ("nvidia", "T4 16GB", 15360), ("amd", "Instinct MI300X", 196592),
    ("amd", "Instinct MI250X", 65520), ("intel", "Gaudi 3", 131072), ("huawei", "Ascend 910B3", 65536),
    ("huawei", "Ascend 910B4", 32768), ("huawei", "Ascend 310P3", 21527), ("cambricon", "MLU590", 81920),
    ("hygon", "K100 AI", 65536), ("iluvatar", "BI-V150", 32768), ("metax", "C500", 65536),
    ("mthreads", "MTT S4000", 49152), ("enflame", "S60", 49152),
)  # fmt: skip

# The kinds of objects that have ids.
MODEL, POOL, NODE, DEVICE, CARD_ROW, HOST_ROW, RUN = range(7)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What to make. One node has cards of one model; a last node may have fewer of them.

    ``pools`` is an upper bound: a fleet has no more pools than nodes.
    """

    devices: int
    pools: int = 200
    models: int = 20
    devices_per_node: int = 8
    taken_percent: int = 70
    faulty_percent: int = 1
    shadow_percent: int = 1
    runs_per_pool: int = 24
    seed: int = 1

    @property
    def nodes(self) -> int:
        return -(-self.devices // self.devices_per_node)

    def pool_of(self, node: int) -> int:
        """Return the pool of a node. Nodes of one pool stand together, as after its first sync."""
        return node * min(self.pools, self.nodes) // self.nodes


def key(kind: int, seed: int, number: int) -> str:
    """Return the id of the n-th object of a kind: a UUIDv7 in its form, in the order of the numbers."""
    return f"0192a000-{kind:04x}-7{seed & 0xFFF:03x}-8000-{number:012x}"

"""The accelerators that simulated fleets are made of, named as their platforms name them.

Names and sizes are those that the vendors' tools print; a PCI id stands only where it is published.
"""

from collections.abc import Mapping

from msgspec import Struct


class Chip(Struct, frozen=True):
    """``label`` is how cluster labels write the name; ``link`` names the interconnect within a node, if any."""

    vendor: str
    name: str
    memory_mib: int
    pci_id: str | None = None
    link: str = ""

    @property
    def label(self) -> str:
        return self.name.replace(" ", "-")


CHIPS: Mapping[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("nvidia", "NVIDIA H100 80GB HBM3", 81559, "10de:2330", "nvlink"),
        Chip("nvidia", "NVIDIA H800", 81559, "10de:2324", "nvlink"),
        Chip("nvidia", "NVIDIA H20", 97871, "10de:2329", "nvlink"),
        Chip("nvidia", "NVIDIA H200", 143771, "10de:2335", "nvlink"),
        Chip("nvidia", "NVIDIA B200", 183359, "10de:2901", "nvlink"),
        Chip("nvidia", "NVIDIA A100-SXM4-80GB", 81920, "10de:20b2", "nvlink"),
        Chip("nvidia", "NVIDIA A100-PCIE-40GB", 40960, "10de:20f1"),
        Chip("nvidia", "NVIDIA L40S", 46068, "10de:26b9"),
        Chip("nvidia", "NVIDIA L4", 23034, "10de:27b8"),
        Chip("nvidia", "NVIDIA A40", 46068, "10de:2235"),
        Chip("nvidia", "NVIDIA A30", 24576, "10de:20b7"),
        Chip("nvidia", "NVIDIA A10", 23028, "10de:2236"),
        Chip("nvidia", "Tesla T4", 15360, "10de:1eb8"),
        Chip("nvidia", "Tesla V100-SXM2-32GB", 32768, "10de:1db5", "nvlink"),
        Chip("amd", "AMD Instinct MI300X OAM", 196592, "1002:74a1", "xgmi"),
        Chip("amd", "AMD Instinct MI210", 65520, "1002:740f"),
        Chip("intel", "Intel(R) Data Center GPU Max 1550", 131072, "8086:0bd5", "xelink"),
        Chip("intel", "HL-325L", 131072, "1da3:1060", "gaudi"),
        Chip("huawei", "Ascend 910B3", 65536, "19e5:d802", "hccs"),
        Chip("huawei", "Ascend 310P3", 21527, "19e5:d500"),
        Chip("cambricon", "MLU370-X8", 24576, "cabc:0370", "mlulink"),
        Chip("hygon", "K100_AI", 65536, None, "xgmi"),
        Chip("metax", "MXC500", 65536, None, "metaxlink"),
        Chip("mthreads", "MTT S4000", 49152, None, "mtlink"),
        Chip("kunlunxin", "P800 OAM", 98304, None, "xpulink"),
    )
}

UNKNOWN = Chip("", "Nova X2 Accelerator", 32768, "1f0e:9001")
"""Of a vendor that no catalogue knows."""

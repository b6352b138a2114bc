"""The chip catalogue's values: a chip, the ways to cut it, and the profiles of each way."""

import re
from typing import Literal

from msgspec import Struct

# placed: pieces lie at fixed places (NVIDIA MIG). uniform: all pieces of a card have one size (vGPU, AMD partitions).
# summed: any mix whose cores add up (Ascend vNPU templates).
Rule = Literal["placed", "uniform", "summed"]
Interconnect = Literal[
    "nvlink",
    "hccs",
    "xgmi",
    "xelink",
    "roce",
    "mlu-link",
    "metaxlink",
    "mtlink",
    "icn",
    "ici",
    "neuronlink",
    "gcu-lare",
    "blink",
    "xpu-link",
    "dcu-link",
    "pcie",
]
Form = Literal["sxm", "oam", "pcie", "module", "mezzanine", "soc"]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where facts were read: a public document and its https address."""

    document: str
    url: str


class Profile(Struct, frozen=True, kw_only=True):
    """One way to cut a piece off a card, with the fixed share it takes: ``milli`` of the card and ``memory_mib``.

    ``kind`` is the name of its cut. ``compute`` and ``cpu`` count the cut's slices or cores, ``size`` its memory slots,
    ``starts`` the first slots where the piece may lie. At most ``max_per_device`` pieces fit on an empty card, and at
    most one piece of all profiles with the same ``once`` (media engines). ``aliases`` are other names of the profile.
    """

    name: str
    kind: str
    milli: int
    memory_mib: int
    max_per_device: int
    compute: int = 0
    cpu: int = 0
    size: int = 0
    starts: tuple[int, ...] = ()
    once: str = ""
    aliases: tuple[str, ...] = ()


class Cut(Struct, frozen=True, kw_only=True):
    """A way to cut a whole card; a card is cut in one way at a time. The totals are those of an empty card."""

    name: str
    rule: Rule
    profiles: tuple[Profile, ...]
    compute: int = 0
    cpu: int = 0
    slots: int = 0


class Entry(Struct, frozen=True, kw_only=True):
    """A chip as platforms show it: one device, so that a card with two visible dies is two of these.

    ``memory_mib`` is what its tools report as total, else what is advertised. ``compute_unit_milli`` is 1000 for one
    A100: dense FP16/BF16 matrix TFLOPS by 312. ``memory_match_mib`` bounds the memory of a device that is this chip.
    ``is_family`` marks the entry that stands for all its siblings where the platform does not tell them apart.
    ``resource_names`` name this very chip, ``vendor_resource_names`` any of its vendor.
    """

    slug: str
    vendor: str
    name: str
    memory_mib: int
    compute_unit_milli: int
    interconnect: Interconnect
    form: Form
    sources: tuple[Source, ...]
    match: tuple[str, ...]
    pci_ids: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    vendor_resource_names: tuple[str, ...] = ()
    memory_match_mib: tuple[int, int] | None = None
    is_family: bool = False
    uncertain: str = ""
    cuts: tuple[Cut, ...] = ()

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles of all cuts; their names are unique within a chip."""
        return tuple(profile for cut in self.cuts for profile in cut.profiles)

    @property
    def source(self) -> str:
        """The sources as text, one a line, and what is uncertain about them."""
        lines = [f"{source.document}: {source.url}" for source in self.sources]
        return "\n".join([*lines, f"Uncertain: {self.uncertain}"] if self.uncertain else lines)

    def find_profile(self, name: str) -> tuple[Cut, Profile] | None:
        """The profile of that name or alias in any spelling of the platforms (``grid_a100-20c`` is ``a100-20c``)."""
        wanted = profile_key(name)
        for cut in self.cuts:
            for profile in cut.profiles:
                if wanted == profile_key(profile.name) or wanted in map(profile_key, profile.aliases):
                    return cut, profile
        return None


def profile_key(name: str) -> str:
    """A profile's name without what platforms add or change: case, ``_`` for ``-``, the prefixes of vGPU types."""
    return re.sub(r"^(grid|nvidia)-", "", name.strip().lower().replace("_", "-"))

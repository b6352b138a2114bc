"""vGPU profiles: their names, the share of a card that each takes, and how many more fit beside others. Pure.

vSphere up to 8 counts nothing: all of this is worked out from names and sizes, and what a host really does it decides
when a VM is switched on. Sources: vSphere API (HostGraphicsInfo, VgpuProfileInfo), NVIDIA vGPU and MIG user guides.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Literal

from msgspec import Struct

Cut = Literal["same_size", "mixed_size", "mig", ""]
"""How a card may be cut; empty where the host does not tell (before vSphere 8.0.3)."""

CUTS: Mapping[str, Cut] = {"sameSize": "same_size", "mixedSize": "mixed_size", "multiInstanceGpu": "mig"}
_NAME = re.compile(r"(?:^|_)(?P<chip>[a-z0-9]+)-(?:(?P<slices>\d+)-)?(?P<gib>\d+)(?P<kind>cme|c|q|b|a)$", re.IGNORECASE)
_MOST_SLICES, _SLOTS = 7, 8
_NOMINAL = 1.1  # a card tells up to a tenth less than the profile that fills it: ECC, firmware


class Profile(Struct, frozen=True):
    """A profile by its opaque name. ``gib`` is its frame buffer, 0 for unknown; ``slices`` is 0 where it is no MIG."""

    name: str
    chip: str = ""
    gib: int = 0
    slices: int = 0
    has_media: bool = False


class Share(Struct, frozen=True):
    """What a piece takes of a card."""

    milli: int
    memory_mib: int


class Card(Struct, frozen=True):
    """A card as far as cutting goes: its nominal memory, the ways to cut it, and the slices of its biggest profile."""

    gib: int
    memory_mib: int
    cut: Cut = ""
    slices: int = _MOST_SLICES

    @property
    def slots(self) -> int:
        """Memory slots of MIG: cards of seven slices have eight, others one for each slice."""
        return _SLOTS if self.slices == _MOST_SLICES else self.slices


def key(name: str) -> str:
    """Return what tells profiles apart, whatever a catalogue or a driver puts around their names."""
    return re.sub(r"^(grid|nvidia)-", "", name.strip().lower().replace("_", "-"))


def profile(name: str, told_gib: int = 0) -> Profile:
    """Return what a name says; ``told_gib`` is the size that vCenter tells, which goes before the name's."""
    found = _NAME.search(name)
    if found is None:
        return Profile(name, gib=told_gib)
    return Profile(
        name,
        chip=found["chip"].lower(),
        gib=told_gib or int(found["gib"]),
        slices=int(found["slices"] or 0),
        has_media=found["kind"].lower() == "cme",
    )


def card(memory_mib: int, cut: Cut, offered: Iterable[Profile]) -> Card:
    """Return a card whose memory is told in MiB; the profile that fills it gives its nominal size and its slices."""
    gib = memory_mib / 1024
    fitting = [each for each in offered if 0 < each.gib <= gib * _NOMINAL]
    nominal = max([round(gib), *(each.gib for each in fitting if each.gib >= gib / _NOMINAL)])
    whole = [each.slices for each in fitting if each.slices and each.gib >= gib / _NOMINAL]
    return Card(nominal, memory_mib, cut, max(whole, default=_MOST_SLICES))


def offered_on(profiles: Sequence[Profile], models: Sequence[str]) -> Mapping[str, tuple[Profile, ...]]:
    """Return the profiles of each model of a host, which lists those of all its cards together.

    A profile whose chip no model's name has goes to all of them.
    """
    words = {model: re.split(r"[^a-z0-9]+", model.lower()) for model in models}
    found: dict[str, list[Profile]] = {model: [] for model in words}
    for each in profiles:
        fits = {model: max((_likeness(each.chip, word) for word in words[model]), default=0) for model in words}
        best = max(fits.values(), default=0)
        for model in words:
            if len(words) == 1 or not best or fits[model] == best:
                found[model].append(each)
    return {model: tuple(each) for model, each in found.items()}


def _likeness(chip: str, word: str) -> int:
    """Chips are named like the model, perhaps with letters behind it: a100d is an A100, h100xm an H100."""
    return len(word) if word and chip.startswith(word) and not chip[len(word) :].isdigit() else 0


def share(on: Card, each: Profile) -> Share:
    """Return what a piece takes: the catalogue's rule. One of unknown size takes all."""
    if not each.gib or not on.gib:
        return Share(1000, on.memory_mib)
    if each.slices:
        milli, slots = 1000 * each.slices // on.slices, _size(on, each)
        return Share(min(1000, milli), min(on.memory_mib, on.memory_mib * slots // on.slots))
    most = max(1, on.gib // each.gib)
    return Share(1000 // most, on.memory_mib // most)


def free(on: Card, used: Sequence[Profile], wanted: Profile) -> int:
    """How many more of a profile fit beside others. Free pieces of different profiles are alternatives, never a sum."""
    if not wanted.gib or any(not each.gib for each in used) or not _may_be_on(on, wanted):
        return 0
    if any(bool(each.slices) != bool(wanted.slices) for each in used):
        return 0
    if wanted.slices:
        return _free_instances(on, tuple(sorted(used, key=lambda each: each.name)), wanted)
    if on.cut != "mixed_size" and any(each.gib != wanted.gib for each in used):
        return 0
    return max(0, (on.gib - sum(each.gib for each in used)) // wanted.gib)


def is_estimate(on: Card, used: Sequence[Profile]) -> bool:
    """Whether free counts are what would fit at best: the places of pieces on the card are not told."""
    return bool(used) and (on.cut == "mixed_size" or any(each.slices for each in used))


def fit_together(on: Card, pieces: Sequence[Profile]) -> bool:
    """Whether a card can hold these pieces at once."""
    left = list(pieces)
    while left:
        piece = left.pop()
        if not free(on, left, piece):
            return False
    return True


def _may_be_on(on: Card, each: Profile) -> bool:
    return on.cut == "" or (on.cut == "mig") == bool(each.slices)


def _size(on: Card, each: Profile) -> int:
    """Memory slots of a GPU instance."""
    return max(1, min(on.slots, round(each.gib * on.slots / on.gib)))


def _starts(on: Card, each: Profile) -> range:
    """Where an instance may begin: at multiples of its size, while compute slices are left behind it."""
    size = _size(on, each)
    last = min(on.slots - size, on.slices - each.slices)
    return range(0, last + 1, size)


@cache
def _free_instances(on: Card, used: tuple[Profile, ...], wanted: Profile) -> int:
    if wanted.has_media and any(each.has_media for each in used):
        return 0
    slices = on.slices - sum(each.slices for each in used)
    most = 1 if wanted.has_media else slices // wanted.slices
    layouts = _layouts(on, used)
    return max((min(most, _holes(on, taken, wanted)) for taken in layouts), default=0)


def _layouts(on: Card, used: tuple[Profile, ...]) -> set[frozenset[int]]:
    """Return the slots that the pieces may take, for every way in which they may lie."""
    found: set[frozenset[int]] = {frozenset()}
    for each, count in Counter(used).items():
        size = _size(on, each)
        for _ in range(count):
            found = {
                taken | here
                for taken in found
                for start in _starts(on, each)
                if taken.isdisjoint(here := frozenset(range(start, start + size)))
            }
    return found


def _holes(on: Card, taken: frozenset[int], wanted: Profile) -> int:
    size = _size(on, wanted)
    return sum(taken.isdisjoint(range(start, start + size)) for start in _starts(on, wanted))

"""Read and check the catalogue's files: one per vendor, in the format that ``docs/catalogue.md`` describes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from pools.domain.chips import Cut, Entry, Form, Interconnect, Profile, Rule, Source

A100_TFLOPS = 312.0  # NVIDIA A100 data sheet, dense FP16 and BF16: one compute unit
UNLISTED = "unlisted"  # in the slug of every chip that the catalogue lacks, so in none that it has


class CatalogueError(ValueError):
    """The catalogue cannot be used. ``problems`` names every mistake with file and entry."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the chip catalogue has mistakes:\n" + "\n".join(problems))
        self.problems = tuple(problems)


class ProfileLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile as written; shares follow from its cut and from the chip."""

    name: str
    compute: int = 0
    cpu: int = 0
    size: int = 0
    starts: tuple[int, ...] = ()
    max_per_device: int = 0
    once: str = ""
    aliases: tuple[str, ...] = ()


class CutTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cut as written, shared by the chips that name it."""

    name: str
    rule: Rule
    profiles: tuple[ProfileLine, ...]
    compute: int = 0
    cpu: int = 0
    slots: int = 0


class ChipLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chip as written; see Entry for what the fields mean."""

    slug: str
    name: str
    memory_mib: int
    dense_fp16_tflops: float
    interconnect: Interconnect
    form: Form
    source: tuple[str, ...]
    match: tuple[str, ...]
    pci_ids: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    memory_match_mib: tuple[int, int] | None = None
    family: bool = False
    uncertain: str = ""
    cuts: tuple[str, ...] = ()


class VendorFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file. ``chips`` stay raw here, so that each reports its own mistakes."""

    vendor: str
    name: str
    sources: dict[str, Source]
    chips: list[dict[str, Any]]
    aliases: tuple[str, ...] = ()
    pci_vendors: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    cuts: dict[str, CutTable] = {}


class Vendor(Struct, frozen=True, kw_only=True):
    """A vendor's chips and the lower-case ``keys`` (slug, names, PCI vendor ids) by which platforms call it."""

    slug: str
    keys: frozenset[str]
    entries: tuple[Entry, ...]


def words(text: str) -> str:
    """Lower-case words of letters and digits, one space between."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def read(folder: Path) -> tuple[Vendor, ...]:
    """Read all files of a folder, sorted by name. Raises CatalogueError with every mistake found."""
    problems: list[str] = []
    vendors = [vendor for path in sorted(folder.glob("*.yaml")) if (vendor := _vendor(path, problems)) is not None]
    entries = [entry for vendor in vendors for entry in vendor.entries]
    problems += _clashes(entries)
    if not entries and not problems:
        problems.append(f"{folder}: no chips")
    if problems:
        raise CatalogueError(problems)
    return tuple(vendors)


def _vendor(path: Path, problems: list[str]) -> Vendor | None:
    try:
        file = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), VendorFile)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: {error}")
        return None
    shared = [
        f"source {key}: {url} is no https address"
        for key, source in file.sources.items()
        if not re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/\S*)?", url := source.url) or not source.document
    ]
    shared += [f"cut {key}: {problem}" for key, cut in file.cuts.items() for problem in _cut_problems(cut)]
    problems += [f"{path.name}: {problem}" for problem in shared]
    entries = []
    for number, raw in enumerate(file.chips, start=1):
        where = f"{path.name}: {raw.get('slug', f'chip {number}')}"
        try:
            line = msgspec.convert(raw, ChipLine)
        except msgspec.ValidationError as error:
            problems.append(f"{where}: {error}")
            continue
        found = list(_chip_problems(file, line))
        problems += [f"{where}: {problem}" for problem in found]
        if not found and not shared:
            entries.append(_entry(file, line))
    keys = {file.vendor, file.name.lower(), *map(str.lower, file.aliases), *file.pci_vendors}
    return Vendor(slug=file.vendor, keys=frozenset(keys), entries=tuple(entries))


def _chip_problems(file: VendorFile, line: ChipLine) -> Iterator[str]:
    if not re.fullmatch(rf"{re.escape(file.vendor)}(-[a-z0-9]+)+", line.slug) or len(line.slug) > 100:
        yield f"a slug is {file.vendor}- and lower-case words with single hyphens"
    if f"-{UNLISTED}" in line.slug:
        yield f"{UNLISTED} is kept for chips that are not in the catalogue"
    if line.memory_mib <= 0 or line.dense_fp16_tflops <= 0:
        yield "memory_mib and dense_fp16_tflops must be positive"
    if (
        line.memory_match_mib is not None
        and not line.memory_match_mib[0] <= line.memory_mib <= line.memory_match_mib[1]
    ):
        yield "memory_match_mib does not contain memory_mib"
    if not line.source:
        yield "no source"
    yield from (f"unknown source {key}" for key in line.source if key not in file.sources)
    yield from (f"unknown cut {key}" for key in line.cuts if key not in file.cuts)
    names = Counter(profile.name for key in line.cuts if key in file.cuts for profile in file.cuts[key].profiles)
    yield from (f"two cuts have a profile {name}" for name, count in names.items() if count > 1)
    if not line.match or not all(map(words, line.match)):
        yield "needs patterns, each with a letter or digit"
    for pci_id in line.pci_ids:
        if not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", pci_id) or pci_id[:4] not in file.pci_vendors:
            yield f"{pci_id} is no vvvv:dddd of this vendor in lower case"


def _cut_problems(cut: CutTable) -> Iterator[str]:
    names = [name for profile in cut.profiles for name in (profile.name, *profile.aliases)]
    if len(set(names)) < len(names):
        yield "two profiles have one name"
    for profile in cut.profiles:
        if (profile.max_per_device > 0) != (cut.rule == "uniform"):
            yield f"{profile.name}: max_per_device belongs to uniform cuts, and must be positive there"
        if cut.rule != "uniform" and not 1 <= profile.compute <= cut.compute:
            yield f"{profile.name}: compute must be 1 to {cut.compute}"
        if cut.rule == "placed":
            yield from _place_problems(cut, profile)


def _place_problems(cut: CutTable, profile: ProfileLine) -> Iterator[str]:
    if not profile.starts or profile.size < 1:
        yield f"{profile.name}: needs starts and size"
    if any(not 0 <= start <= cut.slots - profile.size for start in profile.starts):
        yield f"{profile.name}: a place is outside the {cut.slots} slots"
    ordered = sorted(profile.starts)
    if any(second - first < profile.size for first, second in pairwise(ordered)):
        yield f"{profile.name}: its places overlap"


def _entry(file: VendorFile, line: ChipLine) -> Entry:
    return Entry(
        slug=line.slug,
        vendor=file.vendor,
        name=line.name,
        memory_mib=line.memory_mib,
        compute_unit_milli=max(1, round(1000 * line.dense_fp16_tflops / A100_TFLOPS)),
        interconnect=line.interconnect,
        form=line.form,
        sources=tuple(file.sources[key] for key in line.source),
        match=tuple(words(pattern) for pattern in line.match),
        pci_ids=line.pci_ids,
        resource_names=line.resource_names,
        vendor_resource_names=file.resource_names,
        memory_match_mib=line.memory_match_mib,
        is_family=line.family,
        uncertain=line.uncertain,
        cuts=tuple(_cut(file.cuts[key], line.memory_mib) for key in line.cuts),
    )


def _cut(table: CutTable, memory_mib: int) -> Cut:
    profiles = tuple(_profile(table, line, memory_mib) for line in table.profiles)
    return Cut(
        name=table.name, rule=table.rule, profiles=profiles, compute=table.compute, cpu=table.cpu, slots=table.slots
    )


def _profile(table: CutTable, line: ProfileLine, memory_mib: int) -> Profile:
    """Shares are rounded down, so that pieces that fit together never add up to more than the card."""
    most = _most(table, line)
    if table.rule == "uniform":
        milli, memory = 1000 // most, memory_mib // most
    else:
        part, whole = (line.size, table.slots) if table.rule == "placed" else (line.compute, table.compute)
        milli, memory = 1000 * line.compute // table.compute, memory_mib * part // whole
    return Profile(
        name=line.name,
        kind=table.name,
        milli=milli,
        memory_mib=memory,
        max_per_device=most,
        compute=line.compute,
        cpu=line.cpu,
        size=line.size,
        starts=line.starts,
        once=line.once,
        aliases=line.aliases,
    )


def _most(table: CutTable, line: ProfileLine) -> int:
    if table.rule == "uniform":
        return line.max_per_device
    if line.once:
        return 1
    limits = [table.compute // line.compute]
    if table.rule == "placed":
        limits.append(len(line.starts))
    if table.cpu and line.cpu:
        limits.append(table.cpu // line.cpu)
    return min(limits)


def _clashes(entries: list[Entry]) -> Iterator[str]:
    """Entries that resolve could not tell apart: one slug, or one pattern and overlapping memory."""
    slugs = Counter(entry.slug for entry in entries)
    yield from (f"{slug}: the slug is used twice" for slug, count in slugs.items() if count > 1)
    sharers: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        for pattern in set(entry.match):
            sharers[entry.vendor, pattern].append(entry)
    for (_, pattern), found in sharers.items():
        for one, other in combinations(found, 2):
            if _overlap(one.memory_match_mib, other.memory_match_mib):
                yield f"{one.slug}, {other.slug}: both match {pattern!r} and no memory_match_mib tells them apart"


def _overlap(one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool:
    return one is None or other is None or (one[0] <= other[1] and other[0] <= one[1])

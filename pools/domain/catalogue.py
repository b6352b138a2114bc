"""The chip catalogue: resolve what a platform says about a device to one chip, or say that it is not in it."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import msgspec

from pools.domain import catalogue_files
from pools.domain.chips import Entry

TOLERANCE = 0.12  # how far a tool's total may lie from ours: ECC, reserved memory, GiB printed as GB
MAX_SLUG = 100


class Catalogue:
    """All chips. Never changes once loaded; ``digest`` changes when a fact about any chip does."""

    def __init__(self, vendors: Iterable[catalogue_files.Vendor]) -> None:
        vendors = tuple(vendors)
        self.entries = tuple(entry for vendor in vendors for entry in vendor.entries)
        self.by_slug: Mapping[str, Entry] = MappingProxyType({entry.slug: entry for entry in self.entries})
        self.digest = _digest(self.entries)
        self._vendors = {key: vendor.slug for vendor in vendors for key in vendor.keys}
        self._by_pci: dict[str, list[Entry]] = {}
        for entry in self.entries:
            for pci_id in entry.pci_ids:
                self._by_pci.setdefault(pci_id, []).append(entry)
        self._cached = lru_cache(maxsize=16384)(self._resolve)

    def vendor(self, text: str) -> str:
        """The vendor's slug for a slug, a name or a PCI vendor id, "" when it is not in the catalogue."""
        return self._vendors.get(text.strip().lower().removeprefix("0x"), "")

    def resolve(
        self, vendor: str, model_text: str, pci_id: str | None = None, memory_mib: int = 0, resource: str = ""
    ) -> Entry | None:
        """The chip that the platform means, None when the catalogue has none or cannot tell which.

        The PCI id decides if one chip has it. Otherwise, of the chips with that id (or of the vendor's), the one with
        the longest pattern in the model text; equal ones are told apart by their memory within ±12 %, else their
        family stands for them. The Kubernetes resource name counts only where there is no text. A device with more
        memory than the chip has is not that chip; less is well possible (a slice, ECC).
        """
        pci_id = (pci_id or "").lower()
        slug = self.vendor(vendor) or self.vendor(pci_id.partition(":")[0])
        if vendor.strip() and not slug:
            return None
        return self._cached(slug, words(model_text), pci_id, memory_mib, resource)

    def _resolve(self, vendor: str, text: str, pci_id: str, memory_mib: int, resource: str) -> Entry | None:
        same_id = [e for e in self._by_pci.get(pci_id, ()) if _may_have(e, memory_mib)]
        if len(same_id) == 1:
            return same_id[0]
        if same_id:
            return _pick(_best(same_id, text) or same_id, memory_mib)
        of_vendor = [e for e in self.entries if vendor in ("", e.vendor) and _may_have(e, memory_mib)]
        if text:
            return _pick(_best(of_vendor, text), memory_mib)
        return _pick([e for e in of_vendor if resource in e.resource_names], memory_mib)


def load(folder: Path) -> Catalogue:
    """Read every ``*.yaml`` of a folder. Raises CatalogueError with all mistakes of all files at once."""
    return Catalogue(catalogue_files.read(folder))


def words(text: str) -> str:
    """The text as patterns see it: lower case words of letters and digits, one space between."""
    return catalogue_files.words(text)


def unknown_slug(vendor: str, model_text: str) -> str:
    """A stable slug for a chip that the catalogue lacks, at most 100 ASCII characters.

    It never equals a slug of the catalogue, and two texts get the same one only when they differ in nothing but case
    and in which of space, ``-`` and ``_`` separates words: everything else that a slug cannot show adds a hash.
    """
    prefix = _plain(vendor) or "unknown"
    body = _plain(model_text)
    slug = f"{prefix}-{catalogue_files.UNLISTED}-{body}".removesuffix("-")
    if len(slug) <= MAX_SLUG and all(re.fullmatch(r"[A-Za-z0-9 _-]*", text) for text in (vendor, model_text)):
        return slug
    told_apart = "\0".join(text.strip().lower() for text in (vendor, model_text))
    mark = "--" + hashlib.blake2b(told_apart.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return slug[: MAX_SLUG - len(mark)].rstrip("-") + mark


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _digest(entries: Iterable[Entry]) -> str:
    content = msgspec.json.encode(sorted(entries, key=lambda entry: entry.slug))
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _best(entries: Iterable[Entry], text: str) -> list[Entry]:
    """The entries whose longest pattern in the text is the longest of all."""
    padded = f" {text} "
    scored = [(max((len(p) for p in e.match if f" {p} " in padded), default=0), e) for e in entries]
    longest = max((score for score, _ in scored), default=0)
    return [entry for score, entry in scored if score == longest] if longest else []


def _pick(entries: list[Entry], memory_mib: int) -> Entry | None:
    """The only one left, after memory and then the family had their say."""
    if len(entries) > 1 and memory_mib:
        entries = [entry for entry in entries if _has(entry, memory_mib)]
    if len(entries) > 1:
        entries = [entry for entry in entries if entry.is_family]
    return entries[0] if len(entries) == 1 else None


def _bounds(entry: Entry) -> tuple[float, float]:
    if entry.memory_match_mib is not None:
        return entry.memory_match_mib
    return entry.memory_mib * (1 - TOLERANCE), entry.memory_mib * (1 + TOLERANCE)


def _may_have(entry: Entry, memory_mib: int) -> bool:
    return memory_mib <= _bounds(entry)[1]


def _has(entry: Entry, memory_mib: int) -> bool:
    low, high = _bounds(entry)
    return low <= memory_mib <= high

"""Chip models as rows: the catalogue loaded into the database, and the platform's names resolved to it."""

from datetime import datetime
from functools import cache
from pathlib import Path
from uuid import UUID

from django.db import connection

from pools.domain import catalogue, ids
from pools.models import ChipModel
from pools.services import writing

FOLDER = Path(__file__).resolve().parent.parent / "catalogue"


@cache
def current() -> catalogue.Catalogue:
    """Return the catalogue of this installation, read once a process."""
    return catalogue.load(FOLDER)


@writing.transaction
def load_catalogue(*, now: datetime) -> int:
    """Make the rows of chip models and profiles equal to the catalogue; return how many models it has.

    A model that the catalogue no longer lists stays, as an unknown one: devices may refer to it.
    """
    entries = current().entries
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO chip_model AS m (id, slug, vendor, name, memory_mib, interconnect, compute_unit_milli,
                                         is_catalogued, source, created_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, true, %s, %s)
            ON CONFLICT (slug) DO UPDATE SET vendor = excluded.vendor, name = excluded.name,
                memory_mib = excluded.memory_mib, interconnect = excluded.interconnect,
                compute_unit_milli = excluded.compute_unit_milli, is_catalogued = true, source = excluded.source
            WHERE (m.vendor, m.name, m.memory_mib, m.interconnect, m.compute_unit_milli, m.is_catalogued, m.source)
                IS DISTINCT FROM (excluded.vendor, excluded.name, excluded.memory_mib, excluded.interconnect,
                                  excluded.compute_unit_milli, true, excluded.source)
            """,
            [
                (
                    ids.new_id(),
                    entry.slug,
                    entry.vendor,
                    entry.name,
                    entry.memory_mib,
                    entry.interconnect,
                    entry.compute_unit_milli,
                    entry.source,
                    now,
                )
                for entry in entries
            ],
        )
        cursor.execute(
            "UPDATE chip_model SET is_catalogued = false WHERE is_catalogued AND slug <> ALL(%s)",
            [[entry.slug for entry in entries]],
        )
        wanted = [
            (ids.new_id(), entry.slug, p.name, p.kind, p.milli, p.memory_mib, p.max_per_device)
            for entry in entries
            for p in entry.profiles
        ]
        cursor.executemany(
            """
            INSERT INTO profile AS p (id, model_id, name, kind, milli, memory_mib, max_per_device)
            SELECT %s, m.id, %s, %s, %s, %s, %s FROM chip_model m WHERE m.slug = %s
            ON CONFLICT (model_id, name) DO UPDATE SET kind = excluded.kind, milli = excluded.milli,
                memory_mib = excluded.memory_mib, max_per_device = excluded.max_per_device
            WHERE (p.kind, p.milli, p.memory_mib, p.max_per_device)
                IS DISTINCT FROM (excluded.kind, excluded.milli, excluded.memory_mib, excluded.max_per_device)
            """,
            [(new, name, kind, milli, mib, most, slug) for new, slug, name, kind, milli, mib, most in wanted],
        )
    return len(entries)


class Resolver:
    """Finds the row of a chip model for what a platform says of a device, and makes one for a chip nobody knows."""

    def __init__(self, *, now: datetime) -> None:
        self._now = now
        self._rows: dict[str, UUID] = dict(ChipModel.objects.values_list("slug", "id"))
        self._found: dict[tuple[str, str, str | None, int], UUID] = {}

    def model_id(self, vendor: str, model: str, pci_id: str | None, memory_mib: int, resource: str = "") -> UUID:
        """Return the id of the model row. Asks the catalogue once for each distinct description."""
        key = (vendor, model or resource, pci_id, memory_mib)
        if (found := self._found.get(key)) is None:
            found = self._found[key] = self._resolve(vendor, model, pci_id, memory_mib, resource)
        return found

    def _resolve(self, vendor: str, model: str, pci_id: str | None, memory_mib: int, resource: str) -> UUID:
        entry = current().resolve(vendor, model, pci_id, memory_mib, resource)
        if entry is not None and entry.slug in self._rows:
            return self._rows[entry.slug]
        text = model or pci_id or resource or "accelerator"
        vendor = current().vendor(vendor) or vendor
        slug = catalogue.unknown_slug(vendor, text)
        if slug not in self._rows:
            self._rows[slug] = self._make(slug, vendor, text, memory_mib)
        return self._rows[slug]

    def _make(self, slug: str, vendor: str, text: str, memory_mib: int) -> UUID:
        row, _ = ChipModel.objects.get_or_create(
            slug=slug,
            defaults={
                "vendor": vendor[:63],
                "name": text[:255],
                "memory_mib": memory_mib,
                "is_catalogued": False,
                "created_at": self._now,
            },
        )
        return row.id

"""Measures a run: seconds by phase, pages, bytes, warnings."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.contract import Page
from pools.services import inventory
from pools.services.inventory import Merge

MAX_WARNINGS: Final = 50


@dataclass(slots=True)
class Watch:
    """One run's measurements, from when it is made."""

    seconds: dict[str, float] = field(default_factory=dict)
    pages: int = 0
    byte_count: int = 0
    warnings: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.began

    def go_on_from(self, figures: Mapping[str, Any], merge: Merge) -> None:
        """Add to what the run counted before; ``figures`` are of ``figures``."""
        self.seconds, self.pages = dict(figures["phases"]), figures["pages"]
        self.byte_count, self.warnings = figures["byte_count"], list(figures["warnings"])
        merge.counts.nodes |= figures["counts"]["nodes"]
        merge.counts.devices |= figures["counts"]["devices"]

    def page(self, page: Page) -> None:
        self.pages += 1
        self.byte_count += page.byte_count
        self.warnings += list(page.warnings)[: MAX_WARNINGS - len(self.warnings)]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    def timed(self, name: str, pages: Iterator[Page]) -> Iterator[Page]:
        """Yield the pages; the time until each is there counts for the phase."""
        while True:
            with self.phase(name):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def figures(self, merge: Merge) -> dict[str, Any]:
        """Return the columns of the run that say what it saw and did so far."""
        figures: dict[str, Any] = {key: merge.counts.total(key) for key in inventory.KEYS}
        return figures | {
            "counts": {"nodes": merge.counts.nodes, "devices": merge.counts.devices},
            "pages": self.pages,
            "byte_count": self.byte_count,
            "warnings": list(dict.fromkeys(self.warnings))[:MAX_WARNINGS],
            "phases": {name: round(seconds, 4) for name, seconds in self.seconds.items()},
        }

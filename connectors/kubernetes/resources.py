"""What the extended resources of Kubernetes mean, read once from ``resources.yaml``."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
import yaml
from msgspec import Struct

Kind = Literal["count", "memory", "cores", "ignored", "unknown"]
DEVICE_CLASS = ".deviceclass.resource.k8s.io/devices"
"""How a quota names the devices of a DRA class, behind the class."""
TABLE = Path(__file__).with_name("resources.yaml")


class Resource(Struct, frozen=True, kw_only=True):
    """What one unit of a resource is.

    ``count`` units are devices, or the cut named by ``profile`` (in the catalogue's words: ``1g.10gb``, ``vir04``).
    ``is_shared`` says that a unit is a share of a card which others use too (time slicing, HAMi, Volcano), so the
    number of cards must come from elsewhere. ``memory`` units are ``unit_mib`` MiB each, 0 where they are percent of
    a card; ``cores`` units are percent of a card's compute. ``unknown`` resources are shown and not counted.
    """

    vendor: str
    kind: Kind
    profile: str | None = None
    is_shared: bool = False
    unit_mib: int = 0


UNKNOWN = Resource(vendor="", kind="unknown")
NATIVE = Resource(vendor="", kind="ignored")


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the table, as its head describes it."""

    glob: str
    vendor: str
    kind: Kind
    profile: str | None = None
    shared: bool = False
    unit_mib: int | None = None

    def __post_init__(self) -> None:
        if self.glob.count("*") > 1:
            raise ValueError(f"{self.glob} has more than one *")
        if self.profile is not None and "*" in self.profile and "*" not in self.glob:
            raise ValueError(f"the profile of {self.glob} refers to a * that the glob has not")

    def pattern(self) -> re.Pattern[str]:
        """The glob as an expression whose only group is what the ``*`` matched."""
        return re.compile(re.escape(self.glob).replace(r"\*", "(.+)"))

    def resource(self, starred: str) -> Resource:
        """What the row says about a name whose part under the ``*`` is ``starred``."""
        unit_mib = (1 if self.kind == "memory" else 0) if self.unit_mib is None else self.unit_mib
        profile = self.profile.replace("*", starred) if self.profile else None
        return Resource(vendor=self.vendor, kind=self.kind, profile=profile, is_shared=self.shared, unit_mib=unit_mib)


def read(path: Path) -> tuple[Row, ...]:
    """Read a table; the order of its rows counts. Raises msgspec.ValidationError that names the wrong row."""
    return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), tuple[Row, ...])


@lru_cache(maxsize=1)
def table() -> tuple[tuple[re.Pattern[str], Row], ...]:
    """The rows of the table that ships with ocenter, ready to match."""
    return tuple((row.pattern(), row) for row in read(TABLE))


@lru_cache(maxsize=4096)
def classify(resource_name: str) -> Resource:
    """Say what a resource of a node's capacity or of a pod's requests is; the first row that matches decides.

    Names without a ``/`` (cpu, memory, pods, hugepages-*) are the cluster's own and ignored.
    """
    if "/" not in resource_name:
        return NATIVE
    for pattern, row in table():
        if (match := pattern.fullmatch(resource_name)) is not None:
            return row.resource(match.group(1) if match.groups() else "")
    return UNKNOWN

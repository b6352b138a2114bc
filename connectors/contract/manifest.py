"""Manifests: what a kind needs and can do, told without loading its SDK."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct


class Setting(Struct, frozen=True, kw_only=True):
    """One field of a pool's settings, or of its credential when ``is_secret``. Labels are English message ids."""

    name: str
    label: str
    help: str = ""
    type: Literal["text", "multiline", "url", "integer", "boolean", "choice"] = "text"
    is_required: bool = False
    is_secret: bool = False
    default: str | int | bool | None = None
    choices: tuple[str, ...] = ()
    example: str = ""
    minimum: int | None = None
    maximum: int | None = None
    max_length: int = 4096


class Mode(Struct, frozen=True, kw_only=True):
    """A way to give out capacity, and how finely it can promise: one device, one node, or only the pool.

    ``target`` is the kind of object that carries the orders, ``per`` what has one of its own: each member of an
    allocation, an allocation as a whole, or a node, whose object then carries the orders of all. ``forms`` are what
    can be asked for: whole devices, pieces by profile, shares of a card, CPU and memory alone.
    """

    name: str
    grain: Literal["device", "node", "pool"]
    target: str
    per: Literal["member", "allocation", "node"]
    forms: tuple[Literal["whole", "profile", "share", "cpu"], ...]
    label: str = ""


class Manifest(Struct, frozen=True, kw_only=True):
    """What a kind needs and can do. ``missing`` gives the reason for each capability that it has not.

    ``connector`` is ``module:Class``; it is imported in workers only. The first mode is the default. An observation
    that takes longer than ``observe_seconds`` is given up; what was seen until then stays merged.
    """

    kind: str
    label: str
    summary: str
    settings: tuple[Setting, ...]
    modes: tuple[Mode, ...]
    connector: str
    default_sync_interval_seconds: int = 60
    observe_seconds: int = 540
    capabilities: tuple[str, ...] = ()
    missing: Mapping[str, str] = {}
    is_simulation: bool = False

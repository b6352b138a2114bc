"""/kinds: which kinds of pools there are, and what each needs to be told."""

from typing import Any

import msgspec
from rest_framework.request import Request
from rest_framework.response import Response

from connectors import catalog
from connectors.contract import Manifest, Mode, Permanent, Setting
from pools.api import base, schema
from pools.domain.errors import KindMissing


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of pool. ``schema`` is the JSON schema of {"settings": ..., "credential": ...}.

    ``missing`` gives the reason for each capability the kind has not. The first mode is the default.
    """

    kind: str
    label: str
    summary: str
    is_simulation: bool
    default_sync_interval_seconds: int
    modes: tuple[Mode, ...]
    settings: tuple[Setting, ...]
    capabilities: tuple[str, ...]
    missing: dict[str, str]
    schema: dict[str, Any]


class KindList(msgspec.Struct):
    """All kinds on one page."""

    results: list[Kind]
    next: str | None = None


class Kinds(base.View):
    """All kinds."""

    rights = {"GET": ("kind", "read")}

    @schema.operation("kinds.list", "List kinds of pools", answer=KindList)
    def get(self, request: Request) -> Response:
        return Response(KindList([_kind(manifest) for manifest in catalog.MANIFESTS.values()]))


class OneKind(base.View):
    """One kind."""

    rights = {"GET": ("kind", "read")}
    missing = KindMissing

    @schema.operation("kinds.get", "Show a kind of pool", answer=Kind, refusals=(404,))
    def get(self, request: Request, kind: str) -> Response:
        try:
            return Response(_kind(catalog.manifest(kind)))
        except Permanent:
            raise KindMissing from None


def _kind(manifest: Manifest) -> Kind:
    told = {name: getattr(manifest, name) for name in Kind.__struct_fields__ if name not in ("missing", "schema")}
    return Kind(**told, missing=dict(manifest.missing), schema=catalog.json_schema(manifest.kind))

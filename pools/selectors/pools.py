"""Pools as people and programs see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import F, Q, QuerySet

from connectors import catalog
from pools.domain import filters, states
from pools.domain import freshness as rules
from pools.domain.access import NOBODY, Access
from pools.domain.errors import PoolMissing
from pools.models import Credential, Pool, PoolGrant, Project
from pools.selectors import access as rights
from pools.selectors import capacity, freshness, pages, references
from pools.selectors.pages import Page

FILTERS: Final = {
    "kind": filters.some_of(catalog.MANIFESTS),
    "state": filters.some_of(states.POOL_STATES),
    "health": filters.some_of(states.POOL_HEALTHS),
    "region": filters.words,
    "label": filters.selector,
    "q": filters.phrase,
}


class StoredCredential(msgspec.Struct, frozen=True, kw_only=True):
    """Which secrets are set, and since when; never what they are. ``problem`` says why a new one was refused."""

    state: str
    fields: list[str]
    set_at: datetime
    problem: str


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """The pool's latest sync run, in short."""

    id: UUID
    kind: str
    trigger: str
    state: str
    is_dry_run: bool
    complete: bool
    error: dict[str, Any] | None
    started_at: datetime | None
    ended_at: datetime | None


class GrantedPoolRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pool as those see it whose project may use it: ``models`` are slugs of what it has, not how much.

    ``observed_at`` is its last complete observation; when ``stale``, its numbers are of then.
    """

    id: UUID
    name: str
    kind: str
    kind_label: str
    is_simulation: bool
    state: str
    health: str
    region: str
    labels: dict[str, str]
    mode: str
    grain: str
    observed_at: datetime | None
    stale: bool
    models: list[str]
    generation: int
    created_at: datetime


class PoolRow(GrantedPoolRow, frozen=True, kw_only=True):
    """A pool. ``observed_at`` is its last complete observation; when ``stale``, its numbers are of then."""

    health_reason: str
    settings: dict[str, Any]
    credential: StoredCredential | None
    pending_credential: StoredCredential | None
    sync_interval_seconds: int
    drift_policy: str
    changes_per_minute: int | None
    identity: str | None
    identity_label: str
    version: str
    capacity: list[capacity.ModelShare]
    nodes: int
    devices: int
    last_sync_run: LastRun | None
    held_sync_run: UUID | None
    next_sync_at: datetime | None
    consecutive_failures: int
    breaker_open_until: datetime | None
    activated_at: datetime | None
    draft_expires_at: datetime | None
    removed_at: datetime | None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's check of a pool: what it found stands in ``result`` when ``state`` is done."""

    state: str
    requested_at: datetime | None
    checked_at: datetime | None
    result: dict[str, Any] | None


def page(*, params: Mapping[str, str], cursor: str | None, limit: int, now: datetime, access: Access) -> Page[PoolRow]:
    """Return pools by name, for the roles of the platform; removed ones only when asked for by state. Three queries.

    Raises Invalid that names every unknown filter and bad value.
    """
    found = _cut(params, cursor, limit, now, access if access.everywhere("pool", "read") else NOBODY)
    return Page(_rows(found.rows, now), found.next_cursor)


def granted_page(
    *,
    params: Mapping[str, str],
    cursor: str | None,
    limit: int,
    now: datetime,
    access: Access,
    project: Project | None = None,
) -> Page[GrantedPoolRow]:
    """Return the pools that the caller's projects (or only this one) may use, by name. Two queries.

    Raises Invalid as ``page`` does.
    """
    found = _cut(params, cursor, limit, now, access, project)
    return Page(_granted_rows(found.rows, now), found.next_cursor)


def one(pool_id: UUID, now: datetime, access: Access) -> PoolRow:
    """Return one pool, also a removed one, for the roles of the platform. Three queries. Raises PoolMissing."""
    known = rights.pools(access if access.everywhere("pool", "read") else NOBODY)
    rows = _rows(list(_columns(Pool.objects.filter(known, pk=pool_id))), now)
    if not rows:
        raise PoolMissing
    return rows[0]


def granted_one(pool_id: UUID, now: datetime, access: Access) -> GrantedPoolRow:
    """Return one pool that the caller's projects may use. Two queries. Raises PoolMissing."""
    rows = _granted_rows(list(_columns(Pool.objects.filter(rights.pools(access), pk=pool_id))), now)
    if not rows:
        raise PoolMissing
    return rows[0]


def named(reference: str, now: datetime, access: Access) -> PoolRow:
    """Return a pool by name or id, also a removed one by its id. Raises PoolMissing."""
    return one(references.pool_id(reference, access, also_removed=True), now, access)


def check(pool_id: UUID) -> Check:
    """Return how the pool's latest check stands. Raises PoolMissing."""
    columns = ("check_state", "check_requested_at", "checked_at", "check_result")
    row = Pool.objects.filter(pk=pool_id).values_list(*(f"sync__{column}" for column in columns)).first()
    if row is None:
        raise PoolMissing
    return Check(state=row[0], requested_at=row[1], checked_at=row[2], result=row[3])


def _cut(
    params: Mapping[str, str],
    cursor: str | None,
    limit: int,
    now: datetime,
    access: Access,
    project: Project | None = None,
) -> Page[Any]:
    query = _matching(filters.read(params, FILTERS), now, access)
    if project is not None:
        query = query.filter(pk__in=PoolGrant.objects.filter(project__in=project.lineage).values("pool"))
    return pages.cut(_columns(query), pages.BY_NAME, cursor, limit)


def _matching(wanted: dict[str, Any], now: datetime, access: Access) -> QuerySet[Pool]:
    query = Pool.objects.filter(rights.pools(access))
    query = query.filter(Q(state__in=wanted["state"]) if "state" in wanted else Q(removed_at=None))
    if "kind" in wanted:
        query = query.filter(kind__in=wanted["kind"])
    if "region" in wanted:
        query = query.filter(region__in=wanted["region"])
    if "label" in wanted:
        query = query.filter(references.labelled(wanted["label"], "labels"))
    if "q" in wanted:
        words = wanted["q"]
        found = Q(name__icontains=words) | Q(region__icontains=words)
        if access.everywhere("pool", "read"):  # others could find out letter by letter what they are not shown
            found |= Q(identity_label__icontains=words)
        query = query.filter(found)
    if "health" in wanted:
        matches = Q(sync__health__in=wanted["health"]) & freshness.fresh(now)
        query = query.filter(matches | ~freshness.fresh(now) if "unknown" in wanted["health"] else matches)
    return query


_PLAIN = (
    "id",
    "name",
    "kind",
    "state",
    "region",
    "drift_policy",
    "changes_per_minute",
    "labels",
    "mode",
    "grain",
    "settings",
    "sync_interval_seconds",
    "identity",
    "identity_label",
    "version",
    "generation",
    "created_at",
    "activated_at",
    "draft_expires_at",
    "removed_at",
)
_OF_SYNC = ("health", "health_reason", "observed_at", "consecutive_failures", "breaker_open_until")
_OF_RUN = ("id", "kind", "trigger", "state", "is_dry_run", "complete", "error", "started_at", "ended_at")


def _columns(query: QuerySet[Pool]) -> QuerySet[Any, Any]:
    of_sync = {name: F(f"sync__{name}") for name in _OF_SYNC}
    of_run = {f"run_{name}": F(f"sync__last_run__{name}") for name in _OF_RUN}
    others = {"held_sync_run": F("sync__held_run_id"), "next_sync_at": F("sync__next_at")}
    rows: QuerySet[Any, Any] = query.values(*_PLAIN, **of_sync, **of_run, **others)
    return rows


def _rows(found: list[dict[str, Any]], now: datetime) -> list[PoolRow]:
    pool_ids = [row["id"] for row in found]
    shares, counts = capacity.of_pools(pool_ids)
    stored = _credentials(pool_ids)
    rows = []
    for row in found:
        run = {name: row.pop(f"run_{name}") for name in _OF_RUN}
        stale = rules.is_stale(row["observed_at"], row["sync_interval_seconds"], now)
        manifest = catalog.manifest(row["kind"])
        there = counts.get(row["id"], capacity.Counts())
        rows.append(
            PoolRow(
                **{**row, "health": rules.health(row["health"], stale=stale)},
                kind_label=manifest.label,
                is_simulation=manifest.is_simulation,
                stale=stale,
                credential=stored.get((row["id"], "active")),
                pending_credential=stored.get((row["id"], "pending")),
                capacity=shares.get(row["id"], []),
                models=_models(shares.get(row["id"], [])),
                nodes=there.nodes,
                devices=there.devices,
                last_sync_run=LastRun(**run) if run["id"] else None,
            )
        )
    return rows


def _granted_rows(found: list[dict[str, Any]], now: datetime) -> list[GrantedPoolRow]:
    shares, _ = capacity.of_pools([row["id"] for row in found])
    rows = []
    for row in found:
        stale = rules.is_stale(row["observed_at"], row["sync_interval_seconds"], now)
        manifest = catalog.manifest(row["kind"])
        told = {name: row[name] for name in GrantedPoolRow.__struct_fields__ if name in row}
        rows.append(
            GrantedPoolRow(
                **{**told, "health": rules.health(row["health"], stale=stale)},
                kind_label=manifest.label,
                is_simulation=manifest.is_simulation,
                stale=stale,
                models=_models(shares.get(row["id"], [])),
            )
        )
    return rows


def _models(shares: list[capacity.ModelShare]) -> list[str]:
    return sorted({share.model for share in shares if share.model})


def _credentials(pool_ids: list[UUID]) -> dict[tuple[UUID, str], StoredCredential]:
    """The active credential of each pool, and the newer one that waits for a check or was refused by it."""
    latest = Credential.objects.filter(pool__in=pool_ids, state__in=("active", "pending", "refused"))
    found = {}
    for pool_id, *values in latest.order_by("created_at").values_list(
        "pool_id", "state", "fields", "created_at", "problem"
    ):
        state, fields, set_at, problem = values
        found[pool_id, "active" if state == "active" else "pending"] = StoredCredential(
            state=state, fields=fields, set_at=set_at, problem=problem
        )
    return {
        (pool_id, which): credential
        for (pool_id, which), credential in found.items()
        if which == "active" or (pool_id, "active") not in found or credential.set_at >= found[pool_id, "active"].set_at
    }

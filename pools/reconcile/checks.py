"""Check pools: who answers, what is missing to watch and to manage, and whether a new credential works."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from connectors import session
from connectors.contract import Check, ConnectorError, Tier
from pools.domain.errors import CredentialMissing, CredentialUnreadable, DomainError, PoolChanged, PoolMissing
from pools.reconcile import lanes
from pools.reconcile.alone import alone
from pools.reconcile.lanes import Lane
from pools.selectors import due
from pools.selectors.installation import installation_id
from pools.services import credentials, pools

log = structlog.get_logger(__name__)

_LOCK_SEED = 1


def run(*, pool_id: UUID, clock: Callable[[], datetime], lane: Lane | None = None) -> Mapping[str, Any] | None:
    """Check the pool with its pending credential if it has one, else with the active one, and store what was found.

    Return the stored result {reachable, identity, version, watch, manage, warnings, capabilities, error}; None when the
    pool is gone, when somebody is checking it, when ``lane`` has no place, or when the pool was edited meanwhile: then
    the check stays due. A pending credential becomes the active one when the same far end accepts it.
    """
    with lanes.place(lane, is_needed=True) as may_begin, alone(pool_id, _LOCK_SEED) as is_alone:
        if not may_begin or not is_alone or (target := due.check_target(pool_id)) is None:
            return None
        pools.begin_check(pool_id)
        try:
            result = _check(target)
        except DomainError as error:
            result = _failed(error.code, str(error), "")
        if target["pending_credential_id"] is not None:
            _switch(target, result, clock())
        try:
            pools.store_check(pool_id, result, clock(), generation=target["generation"])
        except (PoolChanged, PoolMissing):
            log.info("check_was_overtaken", pool=target["name"])
            return None
        return result


def _check(target: Mapping[str, Any]) -> dict[str, Any]:
    state = "pending" if target["pending_credential_id"] else "active"
    secret = credentials.of_pool(target["id"], state=state)
    try:
        with session.connect(
            target["kind"],
            target["settings"],
            secret,
            outgoing=settings.OUTGOING,
            installation=installation_id(),
            identity_key=target["identity"] if target["state"] != "registering" else None,
            log=log.bind(pool=target["name"]),
        ) as connector:
            return _found(connector.check())
    except ConnectorError as error:
        return _failed(error.code, str(error), error.platform_words)


def _found(check: Check) -> dict[str, Any]:
    identity = check.identity
    return {
        "reachable": True,
        "identity": {"key": identity.key, "label": identity.label, "version": identity.version},
        "version": identity.version,
        "watch": _tier(check.watch),
        "manage": _tier(check.manage),
        "warnings": list(check.warnings),
        "capabilities": list(check.capabilities),
        "error": None,
    }


def _tier(tier: Tier) -> dict[str, Any]:
    return {"ok": tier.ok, "missing": list(tier.missing)}


def _failed(code: str, message: str, platform_words: str) -> dict[str, Any]:
    nothing = {"ok": False, "missing": []}
    return {
        "reachable": False,
        "identity": None,
        "version": "",
        "watch": nothing,
        "manage": nothing,
        "warnings": [],
        "capabilities": [],
        "error": {"code": code, "message": message, "platform_words": platform_words},
    }


def _switch(target: Mapping[str, Any], result: Mapping[str, Any], now: datetime) -> None:
    """The far end's identity was compared when the session opened: an answer is an answer of the same one."""
    credential_id = target["pending_credential_id"]
    try:
        if result["reachable"] and result["watch"]["ok"]:
            credentials.accept(credential_id, now)
        else:
            error = result["error"] or {"message": "It lacks " + ", ".join(result["watch"]["missing"])}
            credentials.refuse(credential_id, error["message"], now)
    except (CredentialMissing, CredentialUnreadable):
        log.info("credential_was_replaced", pool=target["name"])

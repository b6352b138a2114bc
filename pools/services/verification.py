"""The check of the audit and the ledger against their seals: by hand, once a day, and when somebody asks for it.

Its result is an audit row, sealed like every other; what nobody can rewrite is a checkpoint that is kept elsewhere.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from django.db import connection

from pools import dispatch
from pools.domain import verification as rules
from pools.domain.actors import SYSTEM, Actor
from pools.domain.seals import STREAMS
from pools.domain.verification import Known, LogFindings, LogResult
from pools.selectors import seals as sealed
from pools.selectors import verification as known_results
from pools.selectors.verification import CheckResult
from pools.services import audit, drops, seal_keys, seals, writing

_LOCK: Final = 0x76657266  # "verf"


@writing.transaction
def request(*, actor: Actor, now: datetime) -> None:
    """Ask for a check. A worker makes it as soon as it can."""
    audit.record(actor, known_results.REQUESTED, known_results.KIND, known_results.REQUEST, "", None, None, now)
    dispatch.verify()


@writing.transaction
def run_due(*, now: datetime) -> CheckResult | None:
    """Check everything if that is due and nobody is at it."""
    if not _take_turn():
        return None
    wanted = known_results.due(now)
    return _run(SYSTEM, now, wanted.asked_by, {}) if wanted else None


@writing.transaction
def run(*, actor: Actor, now: datetime, known: Mapping[str, Known] | None = None) -> CheckResult:
    """Check everything now. ``known`` are seals by stream that somebody kept elsewhere and that must be there."""
    return _run(actor, now, actor.name, known or {})


@writing.transaction
def accept_restore(*, actor: Actor, now: datetime) -> None:
    """Forget the seals that were made after the backup from which the database was restored. Leaves an audit row."""
    before = {stream: head for stream in STREAMS if (head := seals.noted(stream))}
    after = {stream: head for stream in STREAMS if (head := sealed.last(stream)[0])}
    for stream in STREAMS:
        seals.note(stream, after.get(stream))
    pair = (msgspec.to_builtins(before), msgspec.to_builtins(after))
    audit.record(actor, "audit.restored", known_results.KIND, known_results.RESTORE, "", *pair, now)


def _run(actor: Actor, now: datetime, asked_by: str, known: Mapping[str, Known]) -> CheckResult:
    streams = [_check(stream, known.get(stream)) for stream in STREAMS]
    is_ok = not any(stream.findings for stream in streams)
    result = CheckResult(is_ok=is_ok, verified_at=now, asked_by=asked_by, streams=streams)
    stored = msgspec.to_builtins(result)
    audit.record(actor, known_results.VERIFIED, known_results.KIND, known_results.RESULT, "", None, stored, now)
    return result


def _check(stream: str, kept: Known | None) -> LogResult:
    noted = seals.noted(stream)
    told = Known(noted.number, noted.root) if noted else None
    with sealed.everything(stream) as (all_seals, all_rows):
        through, unsigned = drops.of(stream)
        result = rules.check(
            stream,
            all_seals,
            all_rows,
            gone_through=through,
            is_signed=seal_keys.has_sealed,
            known=[each for each in (kept, told) if each],
        )
    more = LogFindings(stream)
    for row in unsigned:
        more.add("drop_unsigned", row=row)
    head, (last_xid, _) = sealed.last(stream)
    if head and sealed.transaction_now() <= last_xid:
        more.add("counter_behind", seal=head.number)
    return msgspec.structs.replace(result, findings=[*result.findings, *more.all()])


def _take_turn() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])

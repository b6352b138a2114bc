"""What proof costs: sealing audit rows, finding that there is nothing to seal, and checking all of them."""

import resource
from collections.abc import Callable
from functools import partial

from django.utils import timezone

from pools.domain.access import SYSTEM
from pools.domain.actors import SYSTEM as OCENTER
from pools.selectors import audit, events
from pools.services import seals, verification
from tests.bench.frame import Frame

ROWS = 100_000
ROWS_A_TRANSACTION = 20
TICKS = 50
_WRITE = """
INSERT INTO audit_event (at, actor, actor_id, project_id, request_id, action, object_kind, object_id, object_name,
    before, after)
SELECT now(), 'user-' || n %% 50, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'pool.edited', 'pool',
    gen_random_uuid(), 'pool-' || n %% 200, '{"region": "eu-1", "labels": {"tier": "prod"}, "settings": {"nodes": 20}}',
    '{"region": "eu-2", "labels": {"tier": "test"}, "settings": {"nodes": 40}}' FROM generate_series(1, %s) n
"""


def run(frame: Frame) -> None:
    """Measure the sealer on a tenth of the rows, the check on all of them, and who looks at them."""
    rows = ROWS // 10 if frame.is_quick else ROWS
    _write(frame, rows - ROWS // 20)
    _seal_all()
    meter = frame.meter()
    _write(frame, ROWS // 20)
    frame.settle()
    cost = sum(meter.measure(_seal_all).values())
    frame.results.record("seal_1k_rows_cpu_ms", 1e6 * cost / (ROWS // 20), f"of {ROWS // 20} rows")
    idle = meter.measure(lambda: [seals.seal(now=timezone.now()) for _ in range(TICKS)])
    frame.results.record("seal_idle_tick_cpu_ms", 1e3 * sum(idle.values()) / TICKS, f"mean of {TICKS} ticks")
    _check(frame, rows)
    _looks(frame)


def _check(frame: Frame, rows: int) -> None:
    frame.settle()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    samples = frame.meter().repeat(
        partial(verification.run, actor=OCENTER, now=timezone.now()), 1 if frame.is_quick else 3
    )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    frame.results.record("verify_100k_rows_cpu_s", samples.median() * ROWS / rows, f"{samples}; of {rows} rows")
    frame.results.record("verify_memory_grown_mib", grown, "more resident memory at most than before the check")


def _looks(frame: Frame) -> None:
    rounds = 20
    last = events.after(cursor=events.NOW, limit=100, access=SYSTEM).cursor
    looks: dict[str, Callable[[], object]] = {
        "audit_page_cpu_ms": partial(audit.page, params={}, cursor=None, limit=50, access=SYSTEM),
        "events_idle_poll_cpu_ms": partial(events.after, cursor=last, limit=100, access=SYSTEM),
    }
    for name, look in looks.items():
        samples = frame.meter().repeat(look, rounds)
        frame.results.record(name, 1e3 * samples.median(), f"{samples}; without HTTP")


def _write(frame: Frame, count: int) -> None:
    with frame.connect() as superuser:
        for _ in range(count // ROWS_A_TRANSACTION):
            superuser.execute(_WRITE, [ROWS_A_TRANSACTION])


def _seal_all() -> None:
    while seals.seal(now=timezone.now()):
        pass

"""The queues of a worker and how long its tasks may take: one queue and one limit for each platform kind."""

from collections.abc import Mapping
from typing import Final

from connectors import catalog

DEFAULT_QUEUE: Final = "default"
SPARE_SECONDS: Final = 60


def observe_queue(kind: str) -> str:
    """Return the queue of a platform kind, so that workers can be kept for a kind by OCENTER_WORKER_QUEUES.

    A worker that serves several kinds shares its processes between them; what keeps a slow pool from taking them all
    is a lane (pools/reconcile/lanes.py), not the queue.
    """
    return f"observe.{kind}"


QUEUES: Final = (DEFAULT_QUEUE, *(observe_queue(kind) for kind in catalog.MANIFESTS))


def _time_limits(observe_seconds: int) -> Mapping[str, int]:
    soft_seconds = observe_seconds + SPARE_SECONDS
    return {"soft_time_limit": soft_seconds, "time_limit": soft_seconds + SPARE_SECONDS}


TIME_LIMITS: Final[Mapping[str, Mapping[str, int]]] = {
    observe_queue(kind): _time_limits(manifest.observe_seconds) for kind, manifest in catalog.MANIFESTS.items()
}
"""How long Celery lets a task of a platform's queue run: {queue: {soft_time_limit, time_limit}} in seconds.

Later than the run's own end (``Manifest.observe_seconds``), so that the run can still merge and say what was wrong; the
soft limit is for one that cannot, the hard one kills.
"""

"""The queues of a worker and how long its tasks may take: one queue and one limit for each platform kind."""

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


def time_limits(kind: str) -> dict[str, int]:
    """Return how long Celery lets an observation run: {soft_time_limit, time_limit} in seconds.

    Later than the run's own end (``Manifest.observe_seconds``), so that the run can still merge and say what was wrong;
    the soft limit is for one that cannot, the hard one kills. A kind that is no more has Celery's usual limits.
    """
    manifest = catalog.MANIFESTS.get(kind)
    if manifest is None:
        return {}
    soft_seconds = manifest.observe_seconds + SPARE_SECONDS
    return {"soft_time_limit": soft_seconds, "time_limit": soft_seconds + SPARE_SECONDS}

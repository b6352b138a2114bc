"""Takes a turn of seconds, whose apply is answered later: `python -m tests.crash.waiting POOL_ID [cut-off] [deaf]`.

Cut off, its beats do not reach the database. Deaf, nothing breaks off its call, which has two seconds.
"""

import sys
import time
from typing import Any
from uuid import UUID

import django

TURN_SECONDS, ANSWER_SECONDS = 4, 8


def main(pool_id: str, *words: str) -> None:
    """Do what one hint leads to, as a worker's process does it."""
    django.setup()
    from django.db import OperationalError
    from django.utils import timezone

    from connectors.simulated.connector import Simulated
    from pools.reconcile import heartbeat, holding, targets
    from pools.reconcile.lanes import Lane
    from pools.services import targets as turns

    def unreachable(*_args: Any, **_kwargs: Any) -> Any:
        raise OperationalError

    real = Simulated.apply

    def apply(*given: Any) -> Any:
        answer = real(*given)
        time.sleep(ANSWER_SECONDS)
        return answer

    setattr(Simulated, "apply", apply)  # noqa: B010
    short = ((turns, "TURN_SECONDS", TURN_SECONDS), (heartbeat, "BEAT_SECONDS", 0.5), (holding, "LET_GO_SECONDS", 1))
    for module, name, seconds in short:
        setattr(module, name, seconds)
    if "cut-off" in words:
        turns.keep = unreachable
    if "deaf" in words:
        setattr(targets, "CALLS_SECONDS", 2)  # noqa: B010
    targets.run(pool_id=UUID(pool_id), clock=timezone.now, lane=None if "deaf" in words else Lane(1))


if __name__ == "__main__":
    main(*sys.argv[1:])

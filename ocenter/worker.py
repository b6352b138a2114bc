"""The worker: takes hints from its queues and works on due rows."""

import os

from ocenter.env import Env, load
from pools.domain.queues import QUEUES


def work(env: Env) -> None:
    """Work until a signal ends it. Run as `python -m ocenter.worker` or as a child of `manage.py up`.

    SIGTERM lets running tasks end, SIGQUIT gives them back to the queue.
    """
    from ocenter.celery import app

    app.worker_main(
        [
            "worker",
            f"--queues={','.join(env.worker_queues or QUEUES)}",
            f"--concurrency={env.worker_processes}",
            "--without-gossip",
            "--without-mingle",
        ]
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")
    import django

    django.setup()
    work(load())

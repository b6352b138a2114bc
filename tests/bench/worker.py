"""Prints the peak memory of a worker's process after one first sync: `python -m tests.bench.worker`.

The database holds one pool of the prepared kind. Its pages are made when they are asked for, as those of a platform, so
that only the page at hand is in memory.
"""

import os

import django


def main() -> None:
    """Load what a worker loads, sync, print MiB."""
    django.setup()
    import pools.tasks  # noqa: F401 # for its memory
    from pools.models import Pool
    from tests.bench import accounting, facts, sync

    facts.make_known()
    sync.sync(Pool.objects.get(kind=facts.KIND).id, facts.pages(sync.DEVICES))
    print(round(accounting.peak_rss_mib(os.getpid()), 1))


if __name__ == "__main__":
    main()

"""The watch: hears of changes of pools as they come, and says that it lives."""

import os
from functools import partial

from ocenter import addresses, health
from ocenter.env import Env, load


def watch(env: Env) -> None:
    """Watch until a signal ends it. Run as `python -m ocenter.watch`, like `manage.py watch` with a heartbeat."""
    from django.core.management import call_command

    cache_url = addresses.cache_url(addresses.broker_url(env))
    call_command("watch", alive=partial(health.note, health.WATCH, cache_url))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")
    import django

    django.setup()
    watch(load())

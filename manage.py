#!/usr/bin/env python3
"""Every command of ocenter starts here."""

import errno
import os
import sys

OLDEST_PYTHON = (3, 11)
# What changes tables connects as their owner; everything else as the application.
AS_OWNER = ("migrate", "flush")


def main() -> "int | str":
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:2])
        return f"ocenter needs Python 3.11 or newer and {sys.executable} is {found}; run `make run PYTHON=python3.11`."
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")
    if len(sys.argv) > 1 and sys.argv[1] in AS_OWNER:
        os.environ.setdefault("OCENTER_DATABASE_ROLE", "owner")
    try:
        from django.core.management import execute_from_command_line

        from ocenter import env, home
        from ocenter.errors import Trouble
    except ImportError as error:
        return f"{error.name} is not installed in {sys.prefix}; run `make run`, or `make test` for development."
    try:
        if sys.argv[1:2] == ["up"] and "--prepare-only" not in sys.argv:
            home.ensure_secrets(home.create(env.load().home))  # the settings read them
        execute_from_command_line(sys.argv)
    except Trouble as trouble:
        return str(trouble)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return "The disk is full; free some space and start again."
    return 0


if __name__ == "__main__":
    sys.exit(main())

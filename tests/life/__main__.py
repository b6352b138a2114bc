"""Leads allocations through their whole life on real platforms: `python -m tests.life [hosts kubernetes ...]`.

Starts a PostgreSQL and a Valkey of its own and the platforms that $OCENTER_BACKENDS can start, and ends with 1 when
anything is not as it should be.
"""

import argparse
import os
import subprocess
import sys

PREPARE = "import django; django.setup(); from ocenter.prepare import prepare; prepare(has_demo=False)"


def main(words: list[str]) -> int:
    """Walk on each platform that was asked for, by default on all, and return the exit code."""
    from tests import servers

    servers.start()
    try:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "ocenter.settings", "OCENTER_LOG_LEVEL": "error"}
        subprocess.run([sys.executable, "-c", PREPARE], check=True, stdout=subprocess.DEVNULL)
        # Walks connect as the application does. Only now do Django's settings find their server.
        os.environ["OCENTER_DATABASE_ROLE"] = "app"
        import django

        django.setup()
        from django.test.utils import setup_test_environment

        from tests.life import backends

        setup_test_environment()  # its client is known by the name of no host

        parser = argparse.ArgumentParser(prog="python -m tests.life", description="Walk on real platforms.")
        parser.add_argument("platforms", nargs="*", metavar="PLATFORM", help=f"of {', '.join(backends.ALL)}")
        asked = parser.parse_args(words).platforms or list(backends.ALL)
        if unknown := sorted(set(asked) - set(backends.ALL)):
            parser.error(f"there is no {', '.join(unknown)}; known are {', '.join(backends.ALL)}")
        return max(backends.walk(name) for name in asked)
    finally:
        servers.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

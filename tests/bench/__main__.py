"""Measures what ocenter costs: `python -m tests.bench [--only sync,pages] [--quick]`.

Starts a PostgreSQL and a Valkey of its own with the settings of production, writes `bench/results.json` and
`bench/results.md` under $OCENTER_HOME or `var/`, and ends with 1 when a budget is not kept.
"""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# The folder is picked before the servers set a home of their own.
FOLDER = Path(os.environ.get("OCENTER_HOME") or CHECKOUT / "var").absolute() / "bench"
PREPARE = "import django; django.setup(); from ocenter.prepare import prepare; prepare(has_demo=False)"
GROUPS = ("sync", "pages", "audit", "access", "connectors", "start", "place", "life")


def main(words: list[str]) -> int:
    """Run the groups that were asked for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what ocenter costs.")
    parser.add_argument("--only", default="", metavar="GROUPS", help=f"of {', '.join(GROUPS)}, with commas between")
    parser.add_argument("--quick", action="store_true", help="at most a minute, for CI: smaller fleets, fewer turns")
    asked = parser.parse_args(words)
    groups = [word.strip() for word in asked.only.split(",") if word.strip()] or list(GROUPS)
    if unknown := sorted(set(groups) - set(GROUPS)):
        parser.error(f"there is no group {', '.join(unknown)}; known are {', '.join(GROUPS)}")
    return _run(groups, is_quick=asked.quick)


def _run(groups: list[str], *, is_quick: bool) -> int:
    from tests import servers

    servers.start(is_durable=True)
    try:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "ocenter.settings", "OCENTER_LOG_LEVEL": "warning"}
        subprocess.run([sys.executable, "-c", PREPARE], check=True, stdout=subprocess.DEVNULL)
        # What is measured connects as the application does. Only now do Django's settings find their server.
        os.environ["OCENTER_DATABASE_ROLE"] = "app"
        import django

        from tests.bench import results
        from tests.bench.frame import Frame

        django.setup()
        frame = Frame(url=os.environ["OCENTER_OWNER_DATABASE_URL"], is_quick=is_quick)
        with frame.connect() as connection:
            server = f"PostgreSQL {connection.info.parameter_status('server_version')}"
        allowed = results.budgets(is_quick=is_quick, groups=groups)
        title = f"ocenter: {', '.join(groups)}{' (quick)' if is_quick else ''}"
        for group in groups:
            importlib.import_module(f"tests.bench.{group}").run(frame)
            # After each group, so that one that breaks does not take the others with it.
            results.write(frame.results, allowed, FOLDER, title=title, server=server)
    finally:
        servers.stop()
    missed = results.over(frame.results.values, allowed)
    print("\n".join(["", *missed, f"Written: {FOLDER}/results.json and results.md"]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

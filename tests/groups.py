"""Runs groups of tests one after the other, each with its time, and says loudly what a machine lacks.

`python -m tests.groups browser backend crash slow fuzz`
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

NO_TESTS = 5
CHECKOUT = Path(__file__).resolve().parents[1]
NO_POSTGRESQL_15 = (
    "there is no PostgreSQL 15, the oldest that ocenter works on; on Debian 12: apt install postgresql-15, "
    "elsewhere name the folder of its programs by OCENTER_TEST_POSTGRES15_BIN"
)

# Its longest file mostly waits, for intervals and turns that are what they are; the others fill that time.
# Of made-up requests one wants to see the seed.
OPTIONS = {"crash": ("-n", "2", "--dist", "loadfile"), "fuzz": ("-s",)}

# Made-up requests are the same ones here each time, so that a failure is about a change; `make fuzz` makes up others.
ENVIRONMENT = {
    "OCENTER_TEST_FUZZ_SEED": "3658282607",
    "OCENTER_BACKENDS": str(CHECKOUT.parent / "shared" / "backends"),
    **os.environ,
}

# Each real platform by itself, so that one sees which ran. A test file starts and stops what it needs.
PLATFORMS = ("baremetal", "openstack", "vsphere")
PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "backend": {
        **{name: (f"tests/connectors/{name}",) for name in PLATFORMS},
        "others": tuple(f"--ignore=tests/connectors/{name}" for name in PLATFORMS),
    }
}


def main(groups: list[str]) -> int:
    """Run all groups, also after one failed, and return 1 when any did."""
    lines, failed = [], False
    for group in groups:
        for missing in lacks(group):
            lines.append(f"{group}: SKIPPED IN PART OR WHOLE: {missing}")
            print(f"\n!!! {lines[-1]}\n", flush=True)
        for part, paths in PARTS.get(group, {"": ()}).items():
            began = time.monotonic()
            command = [sys.executable, "-m", "pytest", "-q", "-m", group, *OPTIONS.get(group, ()), *paths]
            code = subprocess.run(command, cwd=CHECKOUT, env=ENVIRONMENT, check=False).returncode
            outcome = {0: "passed", NO_TESTS: "NO TESTS YET"}.get(code, "FAILED")
            failed |= code not in (0, NO_TESTS)
            lines.append(f"{f'{group} {part}'.strip()}: {outcome} in {time.monotonic() - began:.0f} s")
    print("\n".join(["", "Groups:", *(f"  {line}" for line in lines)]), flush=True)
    return int(failed)


def lacks(group: str) -> list[str]:
    """Return what this machine does not have for a group of tests."""
    if group == "browser" and not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return ["there is no chromium; on Debian and Ubuntu: apt install chromium"]
    if group == "backend":
        return [*_lacks_backends(), *([] if postgresql_15() else [NO_POSTGRESQL_15])]
    if group == "crash" and os.geteuid() != 0:
        return ["not root, so nothing about changing the user is tried"]
    if group == "slow" and os.geteuid() != 0:
        return ["not root, so no disk is filled and nothing about changing the user is tried"]
    return []


def _lacks_backends() -> list[str]:
    backends = Path(ENVIRONMENT["OCENTER_BACKENDS"])
    if not backends.is_dir():
        return [f"{backends} is no folder of real platforms; OCENTER_BACKENDS names one (docs/backends.md)"]
    without = [name for name in PLATFORMS if not (backends / name / "up").is_file()]
    return [f"{backends} has no {name}/up, so no real {name} is tried" for name in without]


def postgresql_15() -> Path | None:
    """Return the folder of the programs of a PostgreSQL 15 on this machine."""
    folder = Path(os.environ.get("OCENTER_TEST_POSTGRES15_BIN") or "/usr/lib/postgresql/15/bin")
    return folder if (folder / "initdb").exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

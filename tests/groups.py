"""Runs groups of tests one after the other, each with its time, and says loudly what a machine lacks.

`python -m tests.groups browser backend crash slow`
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

NO_TESTS = 5
CHECKOUT = Path(__file__).resolve().parents[1]


def main(groups: list[str]) -> int:
    """Run all groups, also after one failed, and return 1 when any did."""
    lines, failed = [], False
    for group in groups:
        for missing in lacks(group):
            lines.append(f"{group}: SKIPPED IN PART OR WHOLE: {missing}")
            print(f"\n!!! {lines[-1]}\n", flush=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", group], cwd=CHECKOUT, check=False).returncode
        outcome = {0: "passed", NO_TESTS: "NO TESTS YET"}.get(code, "FAILED")
        failed |= code not in (0, NO_TESTS)
        lines.append(f"{group}: {outcome} in {time.monotonic() - began:.0f} s")
    print("\n".join(["", "Groups:", *(f"  {line}" for line in lines)]), flush=True)
    return int(failed)


def lacks(group: str) -> list[str]:
    """Return what this machine does not have for a group of tests."""
    if group == "browser" and not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return ["there is no chromium; on Debian and Ubuntu: apt install chromium"]
    backends = os.environ.get("OCENTER_BACKENDS")
    if group == "backend" and not backends:
        return ["OCENTER_BACKENDS does not name the folder of real backends"]
    if group == "backend" and not Path(str(backends)).is_dir():
        return [f"OCENTER_BACKENDS={backends} is not a folder"]
    if group == "crash" and os.geteuid() != 0:
        return ["not root, so nothing about changing the user is tried"]
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

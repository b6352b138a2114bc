"""What a warm start costs: `manage.py up` where environment and database are there, until the first page is shown."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench import accounting
from tests.bench.frame import Frame, free_port

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 180


def run(frame: Frame) -> None:
    """Start once to make the home, then measure further starts of the same home."""
    home = Path(tempfile.mkdtemp(prefix="ocb-", dir="/tmp"))
    try:
        _start(home)
        runs = [_start(home) for _ in range(1 if frame.is_quick else 3)]
    finally:
        # As root the data lies elsewhere, and the home points there.
        data = (home / "postgres").resolve()
        if home not in data.parents:
            shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
    note = "`manage.py up` with all its children"
    page, ready = (statistics.median(costs) for costs in zip(*runs, strict=True))
    frame.results.record("warm_start_cpu_s", page, f"{note}, until /login/ is shown")
    frame.results.record("warm_start_ready_cpu_s", ready, f"{note}, until /readyz says that worker and beat are there")


def _start(home: Path) -> tuple[float, float]:
    """Start, return CPU seconds until the first page and until all is ready, and stop."""
    port = free_port()
    # Nothing of the servers that the other groups use.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCENTER_")}
    environment |= {"OCENTER_HOME": str(home), "OCENTER_PORT": str(port)}
    with (home / "up.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up"], cwd=CHECKOUT, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        costs = [_cost(process, partial(_shows, port, path)) for path in ("/login/", "/readyz")]
    except RuntimeError as error:
        raise RuntimeError(f"{error} It said: {(home / 'up.txt').read_text()[-2000:]}") from None
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    return costs[0], costs[1]


def _cost(process: "subprocess.Popen[bytes]", is_reached: Callable[[], bool]) -> float:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_reached():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("`manage.py up` did not come up.")
        time.sleep(0.05)
    return accounting.cpu_seconds([process.pid])[process.pid]


def _shows(port: int, path: str) -> bool:
    with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return bool(answer.status == 200)
    return False

"""docs/walk.md, as somebody follows it: every block of it runs on a fresh demo."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.up.running import CHECKOUT, Installation

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(port: int) -> str:
    """Return what the page tells to type, for an address and a Python of our own. A refused request ends it."""
    first, *blocks = BLOCK.findall((CHECKOUT / "docs/walk.md").read_text())
    assert first.startswith("make demo")
    text = "\n".join(blocks).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    text = text.replace(".venv/bin/python manage.py", f"{sys.executable} {CHECKOUT}/manage.py")
    return text.replace("curl -sS", "curl -sS --fail-with-body")


@pytest.fixture
def installation():
    with tempfile.TemporaryDirectory(prefix="ocwalk-", dir="/tmp") as folder:
        made = Installation(Path(folder))
        yield made
        made.clean()


@pytest.fixture
def walked(installation, tmp_path):
    installation.command.append("--demo")
    installation.start()
    script = f"set -eo pipefail\n{commands(installation.port)}"
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=installation.environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return lambda name: json.loads((tmp_path / name).read_text())


class TestTheWalk:
    def test_is_what_happens(self, walked):
        claimed, held, queued = walked("claimed.json"), walked("held.json"), walked("queued.json")

        assert (claimed["state"], len(claimed["members"]), claimed["milli"]) == ("active", 2, 4000)
        assert held["state"] == "held" and held["price_per_hour"]
        assert queued["state"] == "queued" and queued["queue"]["position"] == 1

"""Children die with their parent, come back when they die alone, and are told from strangers with the same pid."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from ocenter import child, health
from ocenter.supervisor import stop_leftovers
from tests.up.running import CHECKOUT

PARENT = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
from ocenter import home
from ocenter.supervisor import Child, Stopped, Supervisor

def sleeper(name):
    signal.signal(signal.SIGTERM, lambda *_: (print(name, "ends", flush=True), os._exit(0)))
    print(name, "lives", flush=True)
    while True:
        time.sleep(0.1)

folder = home.create(Path(sys.argv[1]))
supervisor = Supervisor(folder)
"""
WATCH = """
first = supervisor.start(Child("first", partial(sleeper, "first")))
supervisor.start(Child("second", partial(sleeper, "second")))
print("started", flush=True)
supervisor.watch(every_day=first)
supervisor.stop()
"""


@pytest.fixture
def parent(tmp_path):
    """Start a small program that supervises two sleeping children."""
    running = []

    def start(code: str = WATCH) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT + code, str(tmp_path)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def records(folder) -> dict[str, Any]:
    return {one["name"]: one for one in health.children(folder)}


def until(condition, seconds: float = 20):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def log(folder, name: str) -> str:
    path = folder / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


class TestAProcess:
    def test_whose_parent_died_before_the_kernel_promised_anything_ends_by_itself(self):
        """A worker killed while it forked its pool left processes that waited for ever."""
        reading, writing = os.pipe()
        parent = os.fork()
        if parent == 0:
            parent = os.getpid()
            if os.fork() == 0:
                while os.getppid() == parent:
                    time.sleep(0.01)
                child.die_with_parent(parent)
                os.write(writing, b"lives on")
            os._exit(0)
        os.close(writing)
        os.waitpid(parent, 0)

        assert os.read(reading, 100) == b""
        os.close(reading)


class TestSupervisor:
    def test_stops_the_last_child_first(self, parent, tmp_path):
        code = WATCH.replace("supervisor.stop()", "print('asked', flush=True); supervisor.stop()")
        process = parent(code)
        until(lambda: "lives" in log(tmp_path, "second") and "lives" in log(tmp_path, "first"))

        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0
        ended = [(tmp_path / "logs" / f"{name}.log").stat().st_mtime_ns for name in ("second", "first")]
        assert ended == sorted(ended) and "ends" in log(tmp_path, "first") + log(tmp_path, "second")
        assert {one["state"] for one in health.children(tmp_path)} == {"stopped"}

    def test_starts_a_dead_child_again_later_each_time_and_says_so(self, parent, tmp_path):
        process = parent("supervisor.start(Child('first', partial(sys.exit, 3)))\n" + WATCH.replace("first", "third"))
        until(lambda: records(tmp_path).get("first", {}).get("restarts") == 2)

        process.send_signal(signal.SIGTERM)

        said = [line for line in process.communicate(timeout=20)[0].splitlines() if line.startswith("first ended")]
        assert [line.split(" in ")[1].split(";")[0] for line in said[:2]] == ["1 s", "2 s"]
        assert all("(exit 3)" in line and "first.log" in line for line in said)

    def test_writes_down_what_each_child_does(self, parent, tmp_path):
        parent()
        before = until(lambda: records(tmp_path).get("second") and records(tmp_path)["first"])

        os.kill(before["pid"], signal.SIGKILL)

        after = until(lambda: (now := records(tmp_path)["first"])["restarts"] == 1 and now)
        assert after["last_exit"] == "signal SIGKILL" and after["pid"] != before["pid"]
        assert set(after) >= {"name", "pid", "state", "restarts", "last_exit", "since"}

    def test_that_is_killed_takes_its_children_along(self, parent, tmp_path):
        process = parent()
        alive = until(lambda: len(records(tmp_path)) == 2 and list(records(tmp_path).values()))

        process.kill()

        until(lambda: not any(child.started(one["pid"]) for one in alive), 5)

    def test_lets_only_one_use_a_home(self, parent, tmp_path):
        first = parent()
        until(lambda: len(records(tmp_path)) == 2)

        second = subprocess.run(
            [sys.executable, "-c", PARENT + WATCH, str(tmp_path)], cwd=CHECKOUT, capture_output=True, text=True
        )

        assert f"ocenter already runs on {tmp_path} (process {first.pid}); stop that one or set" in second.stderr

    def test_gives_up_on_a_child_that_cannot_start_and_quotes_it(self, parent, tmp_path):
        code = """
from ocenter.errors import Trouble
def fails():
    print("FATAL:  the moon is full")
    sys.exit(2)
try:
    supervisor.until(lambda: False, supervisor.start(Child("server", fails)), 20)
except Trouble as trouble:
    print(trouble)
supervisor.stop()
"""
        said = parent(code).communicate(timeout=20)[0]

        assert f"server could not start (exit 2, see {tmp_path}/logs/server.log): FATAL:  the moon is full" in said


class TestLeftovers:
    @pytest.fixture
    def stranger(self, tmp_path):
        (tmp_path / "work").mkdir()
        # A shell that starts the tests in the background has them, and so their children, ignore SIGINT.
        sleeper = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); time.sleep(60)"
        process = subprocess.Popen(
            [sys.executable, "-c", sleeper], cwd=tmp_path / "work", start_new_session=True, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()
        process.communicate()

    def record(self, tmp_path, pid: int, start_time: str | None) -> None:
        (tmp_path / "run").mkdir()
        kept = {"name": "web", "pid": pid, "start_time": start_time, "ask": "SIGTERM"}
        (tmp_path / "run" / "status.json").write_text(json.dumps({"children": [kept]}))

    def test_of_a_killed_parent_are_stopped(self, tmp_path, stranger):
        self.record(tmp_path, stranger.pid, child.started(stranger.pid))

        stop_leftovers(tmp_path, ())

        assert stranger.wait(5) == -signal.SIGTERM

    def test_are_not_mixed_up_with_a_stranger_who_got_the_same_pid(self, tmp_path, stranger):
        self.record(tmp_path, stranger.pid, "1")

        stop_leftovers(tmp_path, ())

        assert stranger.poll() is None

    def test_that_nobody_recorded_are_found_by_where_they_work(self, tmp_path, stranger):
        (tmp_path / "run").mkdir()
        until(lambda: child.working_in(tmp_path / "work") == [stranger.pid])

        stop_leftovers(tmp_path, (tmp_path / "work",))

        assert stranger.wait(5) == -signal.SIGINT

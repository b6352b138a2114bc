"""The programs on a host, by real ones where that can be: whose they are, what they hold, how they are ended."""

import os
import stat
import subprocess
import threading
import uuid
from pathlib import Path

import pytest

from connectors.baremetal.hostctl import processes
from connectors.baremetal.hostctl.errors import Incomplete
from connectors.baremetal.hostctl.host import Host
from tests.connectors.baremetal.double_host import (
    BOBS,
    BOTH,
    CARDS,
    DONE,
    INCOMPLETE,
    REFUSED,
    SHARED,
    call,
    document,
    lease,
)

UNDYING = """# {token}
import os, signal, time
def again(*_):
    if os.fork():
        os._exit(0)
signal.signal(signal.SIGTERM, again)
print(1, flush=True)
for _ in range(60):
    time.sleep(1)
"""


class TestProcesses:
    def test_are_known_by_the_uid_that_started_them(self, host):
        """The folder in /proc is root's for a program that asked the kernel to hide it."""
        host.start(700, 61001, CARDS[0])

        assert host.processes_of(61001) == [700]

    def test_that_listen_end_and_those_that_do_not_are_killed(self):
        code = "import signal, time; signal.signal(15, 1); print(1, flush=True); time.sleep(60)"
        started = [subprocess.Popen(["sleep", "60"]), subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE)]
        started[1].stdout.readline()
        reaping = [threading.Thread(target=each.wait) for each in started]
        for each in reaping:
            each.start()

        pids = [each.pid for each in started]
        Host().end(lambda: [pid for pid, _ in Host().running() if pid in pids])

        for each in reaping:
            each.join(5)
        assert [each.returncode for each in started] == [-15, -9]

    def test_that_start_another_one_when_they_are_asked_to_end_are_killed(self, monkeypatch):
        monkeypatch.setattr(processes, "TERM_SECONDS", 0.3)
        token = uuid.uuid4().hex
        started = subprocess.Popen(["python3", "-c", UNDYING.format(token=token)], stdout=subprocess.PIPE)
        started.stdout.readline()

        Host().end(lambda: _said_to_run(token))

        assert started.wait(5) == 0 and _said_to_run(token) == []  # it ended itself when it was asked, for another one

    def test_that_nothing_ends_are_named(self, monkeypatch):
        monkeypatch.setattr(processes, "TERM_SECONDS", 0.05)
        monkeypatch.setattr(processes, "KILL_SECONDS", 0.05)
        signals = []
        host = Host()
        monkeypatch.setattr(host, "_signal", lambda pid, number: signals.append(number.name))

        with pytest.raises(Incomplete) as raised:
            host.end(lambda: [4194305])

        assert "4194305" in str(raised.value) and signals.count("SIGTERM") == 1 and "SIGKILL" in signals

    def test_that_are_dead_and_not_yet_buried_do_not_count(self, host):
        host.start(700, 61001, CARDS[0])
        status = host.path("/proc/700/status")
        status.write_text(status.read_text().replace("S (sleeping)", "Z (zombie)"))

        assert host.processes_of(61001) == []


def _said_to_run(token):
    host = Host()
    return [pid for pid, _ in host.running() if token in (host.text(f"/proc/{pid}/cmdline") or "")]


def hide(host, node):
    """Give a node's device another path, as a bind mount does, and return that."""
    hidden = host.path("/mnt/hidden")
    hidden.parent.mkdir(exist_ok=True)
    hidden.hardlink_to(host.path(node))
    return str(hidden)


class TestHolders:
    def test_behind_another_path_are_known_by_the_number_of_the_device(self, host):
        host.start(700, 1000, hide(host, CARDS[3]))

        assert call(host, "apply", document(1, lease("oc-alice", 61001, 3)))[0] == REFUSED
        assert call(host, "apply", document(1, lease("oc-alice", 61001, 2)))[0] == DONE
        assert call(host, "observe")[1]["holders"] == {CARDS[3]: [{"pid": 700, "uid": 1000}]}

    def test_behind_another_path_are_ended_when_the_card_is_taken(self, leased):
        leased.start(700, 61001, hide(leased, CARDS[1]))

        call(leased, "apply", document(2, lease("oc-alice", 61001, 0), BOBS))

        assert leased.ended == [700]

    def test_are_not_told_by_a_number_that_two_cards_share(self, host):
        host.path(CARDS[2]).unlink()
        host.path(CARDS[2]).hardlink_to(host.path(CARDS[3]))
        host.start(700, 1000, hide(host, CARDS[3]))
        host.start(701, 1000, CARDS[2])

        held = host.holders(CARDS)

        assert [[each.pid for each in held[node]] for node in CARDS] == [[], [], [701], []]

    def test_are_found_by_the_kernels_own_word(self, tmp_path):
        hidden = _node(tmp_path / "hidden", os.stat("/dev/zero").st_rdev)
        with hidden.open() as held:
            started = subprocess.Popen(["sleep", "60"], stdin=held)
        try:
            assert started.pid in [each.pid for each in Host().holders(["/dev/zero"])["/dev/zero"]]
        finally:
            started.kill()
            started.wait()

    def test_of_a_stand_in_with_the_null_devices_number_are_known_by_its_path_alone(self, tmp_path):
        """Every program has the null device open."""
        node = _node(tmp_path / "nvidia0", os.stat("/dev/null").st_rdev)
        with node.open() as held:
            started = [subprocess.Popen(["sleep", "60"], stdin=each) for each in (held, subprocess.DEVNULL)]
        try:
            assert [each.pid for each in Host().holders([str(node)])[str(node)]] == [started[0].pid]
        finally:
            for each in started:
                each.kill()
                each.wait()


def _node(path, number):
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, number)
        path.open().close()
    except PermissionError:
        pytest.skip("device nodes cannot be made or opened here: the kernel's own word was NOT tried")
    return path


class TestPlanted:
    """Something else than a character device stands where a card's node should be."""

    def test_links_get_no_list(self, host):
        victim = host.path("/etc/passwd")
        host.path(CARDS[2]).unlink()
        host.path(CARDS[2]).symlink_to(victim)

        code, answer = call(host, "apply", BOTH)

        assert code == INCOMPLETE and f"await {CARDS[2]} (oc-bob): it is no character device" in answer["message"]
        assert os.listxattr(victim) == [] and host.may(61001) == sorted([*CARDS[:2], *SHARED])

    def test_folders_that_are_links_lead_to_no_list(self, host):
        host.path("/elsewhere").mkdir()
        host.path("/elsewhere/card0").touch()
        host.path("/dev/dri").symlink_to(host.path("/elsewhere"))
        order = {**lease("oc-alice", 61001, 0), "devices": ["/dev/dri/card0"]}

        assert call(host, "apply", document(1, order))[0] == INCOMPLETE

        assert os.listxattr(host.path("/elsewhere/card0")) == []

    def test_links_get_no_mode_when_the_card_is_taken(self, leased):
        victim = leased.path("/etc/shadow")
        victim.write_text("secret")
        victim.chmod(0o600)
        leased.path(CARDS[0]).unlink()
        leased.path(CARDS[0]).symlink_to(victim)

        assert call(leased, "apply", document(2))[0] == DONE

        assert stat.S_IMODE(victim.stat().st_mode) == 0o600

    @pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo], ids=["file", "folder", "pipe"])
    def test_files_are_no_devices(self, tmp_path, make):
        make(tmp_path / "nvidia0")

        assert not Host(str(tmp_path)).has_device("/nvidia0") and Host().has_device("/dev/null")

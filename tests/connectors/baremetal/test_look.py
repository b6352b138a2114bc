"""The first command that a host is given, run by a real shell."""

import os
import subprocess
import time

import pytest

from connectors.baremetal import look
from connectors.baremetal.ssh import Answer
from connectors.contract import ConnectorError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def run() -> look.Look:
    said = subprocess.run(["sh", "-c", look.LOOK], capture_output=True, text=True, check=False)
    return look.read(Answer(said.returncode, said.stdout, said.stderr), "here")


class TestLook:
    def test_tells_the_machine_on_which_it_runs(self):
        seen = run()

        assert seen.name == os.uname().nodename and abs(seen.epoch_seconds - time.time()) < 5
        assert seen.cpu_milli == len(os.sched_getaffinity(0)) * 1000
        assert seen.memory_mib == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20

    def test_finds_the_tools(self, folder):
        for tool in ("nvidia-smi", "mx-smi"):
            (folder / tool).touch(mode=0o755)

        assert run().programs == ("nvidia-smi", "mx-smi")

    def test_finds_a_tool_that_may_not_be_run(self, folder):
        """Else its cards would be taken for gone on the day somebody takes the right away."""
        (folder / "npu-smi").touch(mode=0o600)

        assert run().programs == ("npu-smi",)

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (Answer(0, "name a\nseconds 1\n"), "truncated"),
            (Answer(0, ""), "truncated"),
            (Answer(77, "", "refused by ocenter-gate"), "forbidden"),
            (Answer(1, "This account is currently not available.\n"), "not_this_kind"),
            (Answer(0, "name a\nseconds x\ncpus 1\nmemory_kib 1\nend\n"), "not_this_kind"),
        ],
    )
    def test_that_did_not_get_through_says_why(self, answer, code):
        with pytest.raises(ConnectorError) as raised:
            look.read(answer, "gpu01")

        assert raised.value.code == code

    def test_is_one_line_that_a_gate_can_compare(self):
        assert "\n" not in look.LOOK and look.LOOK in look.READS

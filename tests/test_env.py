"""The environment is parsed once, and all mistakes come together."""

import ast
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from ocenter import env

CHECKOUT = Path(__file__).resolve().parents[1]
FERNET = "k" * 43 + "="


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("OCENTER_"):
            monkeypatch.delenv(name)
    env.load.cache_clear()
    yield
    env.load.cache_clear()


class TestEnvironment:
    def test_without_any_variable_means_the_embedded_mode_on_this_machine(self):
        parsed = env.load()

        assert (parsed.host, parsed.port, parsed.home) == ("127.0.0.1", 8000, CHECKOUT / "var")
        assert parsed.database_url is None and parsed.broker_url is None

    def test_tells_every_mistake_at_once_with_variable_fault_and_way_out(self, monkeypatch):
        for name, value in {
            "PORT": "eighty",
            "URL": "ocenter.example.org",
            "DATABASE_URL": "mysql://root@db/x",
            "BROKER_URL": "amqp://mq",
            "SECRET_KEY": "short",
            "CREDENTIAL_KEYS": f"{FERNET},nonsense",
            "SEAL_KEYS": f"public:{FERNET}",
            "WORKER_PROCESSES": "0",
            "WORKER_QUEUES": "default, observe.vmware, observe.k8s",
            "LOG_LEVEL": "loud",
            "BEHIND_PROXY": "perhaps",
        }.items():
            monkeypatch.setenv(f"OCENTER_{name}", value)

        with pytest.raises(env.EnvMistakes) as raised:
            env.load()

        assert sorted(raised.value.mistakes) == [
            "OCENTER_BEHIND_PROXY: must be true or false",
            "OCENTER_BROKER_URL: is not a Redis or Valkey URL; write redis://:PASSWORD@HOST:PORT/0, rediss://... "
            "or redis+socket:///PATH",
            "OCENTER_CREDENTIAL_KEYS: must be Fernet keys of 44 characters joined by commas, of which the first one "
            "encrypts",
            "OCENTER_DATABASE_URL: is not a PostgreSQL URL; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
            "OCENTER_LOG_LEVEL: must be one of 'debug', 'info', 'warning' or 'error'",
            "OCENTER_PORT: must be a whole number",
            "OCENTER_SEAL_KEYS: must be Ed25519 keys of 44 characters joined by commas, of which the first one signs; "
            "behind it may stand public:KEY",
            "OCENTER_SECRET_KEY: is too short to be safe; give at least 32 random characters",
            "OCENTER_URL: must be the address people type, without a path, such as https://ocenter.example.org",
            "OCENTER_WORKER_PROCESSES: must be at least 1",
            "OCENTER_WORKER_QUEUES: names no queue by observe.vmware, observe.k8s; known are default, "
            "observe.kubernetes, observe.openstack, observe.simulated, observe.baremetal, observe.vsphere",
        ]

    @pytest.mark.parametrize(
        "url", ["postgresql://u:hunter2@h:port/d", "postgresql://u:hunter2@h", "mysql://u:hunter2@h"]
    )
    def test_never_repeats_a_secret_in_what_it_says(self, monkeypatch, url):
        monkeypatch.setenv("OCENTER_DATABASE_URL", url)

        with pytest.raises(env.EnvMistakes) as raised:
            env.load()

        assert "hunter2" not in str(raised.value)

    def test_shows_no_secret_when_printed(self, monkeypatch):
        monkeypatch.setenv("OCENTER_DATABASE_URL", "postgresql://u:hunter2@h/d")

        assert "hunter2" not in repr(env.load())

    def test_cannot_be_changed(self):
        with pytest.raises(ValidationError):
            env.load().port = 9

    def test_takes_an_empty_variable_for_an_absent_one(self, monkeypatch):
        monkeypatch.setenv("OCENTER_URL", "")

        assert env.load().url is None

    def test_reads_lists_with_commas(self, monkeypatch):
        monkeypatch.setenv("OCENTER_ALLOWED_HOSTS", "a.example, b.example,")
        monkeypatch.setenv("OCENTER_CREDENTIAL_KEYS", f"{FERNET},{FERNET}")

        parsed = env.load()

        assert parsed.allowed_hosts == ("a.example", "b.example")
        assert [key.get_secret_value() for key in parsed.credential_keys] == [FERNET, FERNET]


class TestSingleSignOn:
    @pytest.mark.parametrize("issuer", ["http://id.example.org", "id.example.org", "https://id.example.org?x=1"])
    def test_wants_the_address_of_an_issuer(self, monkeypatch, issuer):
        monkeypatch.setenv("OCENTER_OIDC_ISSUER", issuer)
        monkeypatch.setenv("OCENTER_OIDC_CLIENT_ID", "ocenter")

        with pytest.raises(env.EnvMistakes, match="OCENTER_OIDC_ISSUER: must be the provider's https address"):
            env.load()

    @pytest.mark.parametrize(("given", "missing"), [("ISSUER", "CLIENT_ID"), ("CLIENT_ID", "ISSUER")])
    def test_is_whole_or_not_at_all(self, monkeypatch, given, missing):
        monkeypatch.setenv(f"OCENTER_OIDC_{given}", "https://id.example.org")

        with pytest.raises(env.EnvMistakes, match=f"OCENTER_OIDC_{missing}: is needed with OCENTER_OIDC_{given}"):
            env.load()

    def test_takes_its_secret_from_a_file(self, monkeypatch, tmp_path):
        (tmp_path / "secret").write_text("s3cret\n")
        monkeypatch.setenv("OCENTER_OIDC_CLIENT_SECRET_FILE", str(tmp_path / "secret"))

        parsed = env.load()

        assert parsed.oidc_client_secret and parsed.oidc_client_secret.get_secret_value() == "s3cret"


class TestTheMailServer:
    @pytest.mark.parametrize("url", ["mail.example.org", "smtp://", "http://mail", "smtp://h:port", "smtp://h:0"])
    def test_wants_an_address_of_one(self, monkeypatch, url):
        monkeypatch.setenv("OCENTER_EMAIL_URL", url)

        with pytest.raises(env.EnvMistakes, match="OCENTER_EMAIL_URL: is not a mail server"):
            env.load()


class TestSecretFromAFile:
    def test_counts_as_the_variable(self, monkeypatch, tmp_path):
        (tmp_path / "url").write_text("postgresql://u:p@h/d\n")
        (tmp_path / "keys").write_text(f"{FERNET}\n")
        monkeypatch.setenv("OCENTER_DATABASE_URL_FILE", str(tmp_path / "url"))
        monkeypatch.setenv("OCENTER_CREDENTIAL_KEYS_FILE", str(tmp_path / "keys"))

        parsed = env.load()

        assert parsed.database_url and parsed.database_url.get_secret_value() == "postgresql://u:p@h/d"
        assert len(parsed.credential_keys) == 1

    def test_that_is_wrong_is_named_as_the_file(self, monkeypatch, tmp_path):
        (tmp_path / "key").write_text("short")
        monkeypatch.setenv("OCENTER_SECRET_KEY_FILE", str(tmp_path / "key"))

        with pytest.raises(env.EnvMistakes, match="OCENTER_SECRET_KEY_FILE: is too short"):
            env.load()

    def test_that_cannot_be_read_is_a_mistake_beside_the_others(self, monkeypatch):
        monkeypatch.setenv("OCENTER_SECRET_KEY_FILE", "/nowhere/key")
        monkeypatch.setenv("OCENTER_PORT", "0")

        with pytest.raises(env.EnvMistakes) as raised:
            env.load()

        assert len(raised.value.mistakes) == 2 and "cannot read /nowhere/key" in str(raised.value)

    def test_beside_the_variable_is_refused(self, monkeypatch, tmp_path):
        monkeypatch.setenv("OCENTER_BROKER_URL_FILE", str(tmp_path / "url"))
        monkeypatch.setenv("OCENTER_BROKER_URL", "redis://h/0")

        with pytest.raises(env.EnvMistakes, match="OCENTER_BROKER_URL is set as well"):
            env.load()


class TestNothingElse:
    def test_reads_the_environment(self):
        readers = {
            f"{file.relative_to(CHECKOUT)}:{node.lineno}"
            for folder in ("ocenter", "pools", "connectors")
            for file in (CHECKOUT / folder).rglob("*.py")
            if file.name != "env.py"
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Attribute | ast.Name)
            and ast.unparse(node) in ("os.environ", "os.getenv", "environ")
            and 'setdefault("DJANGO_SETTINGS_MODULE"' not in file.read_text().splitlines()[node.lineno - 1]
        }

        assert readers == set()

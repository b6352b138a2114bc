"""The production services: healthy before others start, not root, secrets in files, the owner's role kept apart."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.core.management import load_command_class

from ocenter import compose, env
from pools.domain.queues import QUEUES

CHECKOUT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
WORKERS = ("worker", "worker-openstack")
SERVING = ("web", *WORKERS, "watch", "beat")
OURS = ("migrate", "housekeeping", *SERVING)
LONG_LIVED = ("postgres", "redis", *SERVING)


class TestServices:
    def test_are_those_of_the_design(self):
        assert set(SERVICES) == {"postgres", "redis", *OURS}

    @pytest.mark.parametrize("name", LONG_LIVED)
    def test_have_a_health_check(self, name):
        check = SERVICES[name]["healthcheck"]

        assert check["test"][0] in ("CMD", "CMD-SHELL") and {"interval", "timeout", "retries"} <= set(check)

    @pytest.mark.parametrize("name", SERVICES)
    def test_run_as_an_ordinary_user_who_gains_no_rights(self, name):
        service = SERVICES[name]

        assert int(service["user"].split(":")[0]) > 0
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]

    @pytest.mark.parametrize("name", SERVICES)
    def test_hold_no_password(self, name):
        words = " ".join(
            f"{key}={value}"
            for key, value in (SERVICES[name].get("environment") or {}).items()
            if not key.endswith("_FILE")
        )

        assert not re.search(r"(?i)password|secret|://|key", words)

    @pytest.mark.parametrize("name", SERVICES)
    def test_get_exactly_the_secret_files_they_name(self, name):
        service = SERVICES[name]
        text = yaml.safe_dump([service.get("environment"), service.get("command"), service.get("healthcheck")])

        assert set(re.findall(r"/run/secrets/(\w+)", text)) == set(service["secrets"]) <= set(COMPOSE["secrets"])

    @pytest.mark.parametrize("name", [*SERVING, "housekeeping"])
    def test_start_when_the_migration_is_done_and_the_servers_are_healthy(self, name):
        conditions = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}

        assert conditions == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "redis": "service_healthy",
        }

    @pytest.mark.parametrize("name", SERVING)
    def test_that_serve_never_know_the_owner_of_the_tables(self, name):
        assert "owner" not in yaml.safe_dump(SERVICES[name])

    @pytest.mark.parametrize("name", ["migrate", "housekeeping"])
    def test_that_change_the_schema_know_both_roles(self, name):
        assert {"owner_database_url", "database_url"} <= set(SERVICES[name]["secrets"])

    @pytest.mark.parametrize("name", [*WORKERS, "watch"])
    def test_can_be_scaled_where_it_helps(self, name):
        """A fixed container name or a published port would forbid a second one."""
        assert not {"container_name", "ports", "hostname"} & set(SERVICES[name])

    def test_that_not_everybody_needs_start_only_when_asked_for(self):
        profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}

        assert profiles == {"worker-openstack": ["platforms"], "watch": ["watch"]}

    @pytest.mark.parametrize("name", ["worker", "worker-openstack", "watch"])
    def test_that_reach_platforms_have_a_way_out(self, name):
        assert SERVICES[name]["networks"] == ["inside", "outside"]

    def test_for_one_platform_serve_a_queue_that_exists(self):
        assert SERVICES["worker-openstack"]["environment"]["OCENTER_WORKER_QUEUES"] in QUEUES

    @pytest.mark.parametrize("name", ["postgres", "redis"])
    def test_that_keep_state_are_reached_from_inside_only(self, name):
        assert SERVICES[name]["networks"] == ["inside"] and "ports" not in SERVICES[name]
        assert COMPOSE["networks"]["inside"]["internal"] is True

    def test_know_only_variables_that_ocenter_knows(self):
        known = {f"OCENTER_{field.upper()}{end}" for field in env.Env.model_fields for end in ("", "_FILE")}

        assert {key for name in OURS for key in SERVICES[name]["environment"]} <= known

    def test_ask_the_operator_only_for_variables_that_ocenter_knows_and_for_the_published_address(self):
        fields = {f"OCENTER_{field.upper()}" for field in env.Env.model_fields}
        known = fields | {f"{field}_FILE" for field in fields}

        asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (CHECKOUT / "docker-compose.yml").read_text()))

        assert asked - known == {"OCENTER_PUBLISH"}

    @pytest.mark.parametrize("name", ["migrate", "housekeeping"])
    def test_call_management_commands_that_exist_with_options_they_have(self, name):
        command = " ".join(SERVICES[name]["command"])
        ((called, options),) = re.findall(r"python manage\.py (\w+) ([-\w ]+)", command)

        parser = load_command_class("pools", called).create_parser("manage.py", called)

        assert parser.parse_args(options.split()).prepare_only

    def test_sort_texts_like_the_embedded_server(self):
        arguments = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]

        assert "--locale-provider=builtin --builtin-locale=C.UTF-8" in arguments

    @pytest.mark.parametrize("name", SERVING)
    def test_start_and_check_modules_that_exist(self, name):
        for command in (SERVICES[name]["command"], SERVICES[name]["healthcheck"]["test"][1:]):
            python, flag, module, *_ = command

            assert (python, flag) == ("python", "-m") and (CHECKOUT / f"{module.replace('.', '/')}.py").exists()

    @pytest.mark.skipif(
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
        reason="docker compose is not here, so only the structure is checked",
    )
    def test_are_valid_to_compose_itself(self):
        subprocess.run(["docker", "compose", "config", "--quiet"], cwd=CHECKOUT, check=True)


class TestSecrets:
    def test_are_made_for_every_file_that_compose_reads(self, tmp_path):
        compose.main(tmp_path / "secrets")

        made = {f"./secrets/{file.name}" for file in (tmp_path / "secrets").iterdir()}
        assert made == {secret["file"] for secret in COMPOSE["secrets"].values()}

    def test_agree_with_each_other_and_with_ocenter(self, tmp_path, monkeypatch):
        compose.main(tmp_path / "s")
        for field in ("database_url", "owner_database_url", "broker_url", "secret_key", "credential_keys", "seal_keys"):
            monkeypatch.delenv(f"OCENTER_{field.upper()}", raising=False)
            monkeypatch.setenv(f"OCENTER_{field.upper()}_FILE", str(tmp_path / "s" / field))

        parsed = env.load.__wrapped__()

        for password, url in (("owner", parsed.owner_database_url), ("broker", parsed.broker_url)):
            assert url and (tmp_path / "s" / f"{password}_password").read_text() in url.get_secret_value()

    def test_are_never_made_again(self, tmp_path):
        compose.main(tmp_path / "s")
        before = (tmp_path / "s" / "owner_password").read_text()

        said = compose.main(tmp_path / "s")

        assert "nothing was changed" in str(said) and (tmp_path / "s" / "owner_password").read_text() == before

    def test_are_kept_out_of_git_and_of_the_image(self):
        assert "secrets/" in (CHECKOUT / ".gitignore").read_text().split()
        assert (CHECKOUT / ".dockerignore").read_text().startswith("*\n")


class TestImage:
    DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()

    def test_is_built_in_stages_and_ends_as_an_ordinary_user(self):
        stages = re.findall(r"(?m)^FROM (\S+)", self.DOCKERFILE)
        users = re.findall(r"(?m)^USER (\S+)", self.DOCKERFILE)

        assert len(stages) == 2 and users[-1] == SERVICES["web"]["user"] == "10001:10001"

    def test_has_glibc(self):
        """The wheels are built for it; there is none for musl."""
        assert "alpine" not in self.DOCKERFILE and "bookworm" in self.DOCKERFILE

    def test_gets_the_pinned_packages_that_make_run_installs_by_the_same_command(self):
        install = re.compile(r"COPY (\S+) (/tmp/\S+)\n(?:#.*\n)?RUN uv pip sync .*(--require-hashes) \2")
        ((file, _, hashed),) = install.findall(self.DOCKERFILE)
        venv = (CHECKOUT / ".ci" / "venv").read_text()

        assert f"runtime) file={file} ;;" in venv and f'pip sync --quiet --python "$VENV/bin/python" {hashed}' in venv

    def test_takes_away_only_packages_that_were_installed(self):
        (packages,) = re.findall(r"pip uninstall --python \S+ (.+)", self.DOCKERFILE)
        pinned = re.findall(r"(?m)^([\w-]+)==", (CHECKOUT / "requirements.txt").read_text())

        assert set(packages.split()) <= set(pinned)

    def test_holds_every_folder_that_is_copied(self):
        copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", self.DOCKERFILE)
        allowed = (CHECKOUT / ".dockerignore").read_text()

        names = [name for line in copied for name in line.split()]
        assert all(f"!{name}" in allowed and (CHECKOUT / name).exists() for name in names)

    def test_installs_with_the_uv_of_the_makefile(self):
        (pinned,) = re.findall(r"UV_VERSION := (\S+)", (CHECKOUT / "Makefile").read_text())

        assert f"uv=={pinned}" in self.DOCKERFILE

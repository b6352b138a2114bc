"""Settings that are safe by default, and the traps that cost an afternoon."""

import json
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from connectors import catalog
from ocenter import addresses, beat
from ocenter.celery import app
from pools.dispatch import Task
from pools.domain import queues
from tests.up.running import CHECKOUT, clean_environment


def settings_with(*names: str, home: str, **environment: str) -> dict[str, Any]:
    values = f"{{name: getattr(settings, name, None) for name in {names}}}"
    code = f"from ocenter import settings; import json; print(json.dumps({values}))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=clean_environment(OCENTER_HOME=home, **environment),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


class TestTime:
    def test_is_utc_in_django_in_the_worker_and_in_beat(self):
        assert {settings.TIME_ZONE, str(app.conf.timezone), str(beat.app.conf.timezone)} == {"UTC"} and settings.USE_TZ


class TestDatabase:
    def test_connections_are_checked_before_use(self):
        """Else a pool hands out what a restarted server has closed, and each answers 500."""
        assert settings.DATABASES["default"]["CONN_HEALTH_CHECKS"]

    def test_has_no_pool_outside_of_the_web_process(self):
        assert "pool" not in settings.DATABASES["default"]["OPTIONS"]

    def test_is_the_applications_unless_a_command_needs_the_owner(self, tmp_path):
        urls = {
            "OCENTER_DATABASE_URL": "postgresql://app:1@h/d",
            "OCENTER_OWNER_DATABASE_URL": "postgresql://owner:2@h/d",
        }

        as_app = settings_with("DATABASES", home=str(tmp_path), **urls)
        as_owner = settings_with("DATABASES", home=str(tmp_path), OCENTER_DATABASE_ROLE="owner", **urls)

        assert as_app["DATABASES"]["default"]["USER"] == "app"
        assert as_owner["DATABASES"]["default"]["USER"] == "owner"


class TestCookies:
    NAMES = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS", "CSRF_TRUSTED_ORIGINS")

    def test_are_secure_and_https_is_remembered_where_https_is_configured(self, tmp_path):
        found = settings_with(*self.NAMES, home=str(tmp_path), OCENTER_URL="https://ocenter.example.org")

        assert [*found.values()] == [True, True, 31536000, ["https://ocenter.example.org"]]

    def test_work_over_plain_http_where_it_is_not(self, tmp_path):
        assert [*settings_with(*self.NAMES, home=str(tmp_path)).values()] == [False, False, 0, None]

    def test_are_never_for_scripts(self):
        assert settings.SESSION_COOKIE_HTTPONLY and settings.CSRF_COOKIE_HTTPONLY
        assert settings.SESSION_COOKIE_SAMESITE == settings.CSRF_COOKIE_SAMESITE == "Lax"


class TestSecrets:
    def test_that_are_not_there_keep_the_web_server_from_serving(self, tmp_path):
        ran = subprocess.run(
            [sys.executable, "-c", "import ocenter.wsgi"],
            cwd=CHECKOUT,
            env=clean_environment(OCENTER_HOME=str(tmp_path)),
            capture_output=True,
            text=True,
        )

        assert ran.returncode != 0 and "OCENTER_SECRET_KEY and OCENTER_CREDENTIAL_KEYS are not set" in ran.stderr

    def test_of_the_environment_win_over_those_of_the_home(self, tmp_path):
        found = settings_with(
            "SECRET_KEY",
            "CREDENTIAL_KEYS",
            home=str(tmp_path),
            OCENTER_SECRET_KEY="s" * 40,
            OCENTER_CREDENTIAL_KEYS="k" * 43 + "=",
        )

        assert found == {"SECRET_KEY": "s" * 40, "CREDENTIAL_KEYS": ["k" * 43 + "="]}


class TestContentSecurityPolicy:
    def test_allows_nothing_inline_and_nothing_from_elsewhere(self):
        words = {word for directive in settings.CONTENT_SECURITY_POLICY["DIRECTIVES"].values() for word in directive}

        assert words == {"'none'", "'self'", "data:"}


class TestCelery:
    def test_takes_json_only(self):
        assert list(app.conf.accept_content) == ["json"]

    def test_never_hands_out_a_task_that_may_still_run(self):
        assert app.conf.broker_transport_options["visibility_timeout"] > app.conf.task_time_limit

    def test_gives_back_what_a_dead_worker_had(self):
        assert app.conf.task_acks_late and app.conf.task_reject_on_worker_lost
        assert app.conf.worker_prefetch_multiplier == 1

    @pytest.mark.parametrize("kind", catalog.MANIFESTS)
    def test_lets_a_task_run_longer_than_the_observation_of_any_platform(self, kind):
        limits = queues.TIME_LIMITS[queues.observe_queue(kind)]

        assert catalog.manifest(kind).observe_seconds < limits["soft_time_limit"] < limits["time_limit"]
        assert app.conf.broker_transport_options["visibility_timeout"] > limits["time_limit"]

    def test_has_a_queue_for_each_platform(self):
        assert set(queues.QUEUES) == {"default", *(f"observe.{kind}" for kind in catalog.MANIFESTS)}

    def test_ticks_expire_before_the_next_one(self):
        (entry,) = beat.app.conf.beat_schedule.values()

        assert entry["task"] == Task.TICK and entry["options"]["expires"] <= entry["schedule"]


class TestCacheUrl:
    @pytest.mark.parametrize(
        ("broker", "cache"),
        [
            ("redis+socket:///run/v.sock?virtual_host=0", "unix:///run/v.sock?db=1"),
            ("redis+socket:///run/v.sock", "unix:///run/v.sock?db=1"),
            ("redis://:secret@host:6379/0", "redis://:secret@host:6379/1"),
            ("rediss://host:6379", "rediss://host:6379/1"),
        ],
    )
    def test_is_the_next_database_of_the_broker(self, broker, cache):
        """Clearing a cache empties its database, which must not be the one with the queues."""
        assert addresses.cache_url(broker) == cache

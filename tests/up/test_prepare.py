"""What every start brings up to date, and what it refuses to touch."""

import errno
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import call_command

from ocenter import prepare
from ocenter.errors import Trouble
from pools.services import bootstrap
from tests.up.running import CHECKOUT


@pytest.fixture
def counted(monkeypatch):
    """Count what costs something."""
    calls = []
    monkeypatch.setattr(prepare, "call_command", lambda name, **options: calls.append(name))
    monkeypatch.setattr(bootstrap, "load_catalogue", lambda: calls.append("catalogue"))
    return calls


@pytest.mark.django_db
class TestDatabase:
    def test_older_than_we_need_is_refused_with_the_way_out(self, monkeypatch):
        monkeypatch.setattr(prepare, "OLDEST_POSTGRESQL", 99)

        with pytest.raises(Trouble, match=r"is PostgreSQL 18 and ocenter needs 99 or newer; upgrade it or unset"):
            prepare._check_server()

    def test_is_migrated_once_for_each_version(self, counted):
        prepare._migrate()
        prepare._migrate()

        assert counted == ["migrate", "catalogue"]

    def test_is_migrated_again_when_a_migration_changed(self, counted, monkeypatch):
        prepare._migrate()
        monkeypatch.setattr(prepare, "_digest", lambda *_files: "another")

        prepare._migrate()

        assert counted.count("migrate") == 2

    def test_needs_no_further_migration(self):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)


class TestStaticFiles:
    def test_are_gathered_once_for_each_version(self, counted, tmp_path, settings):
        settings.STATIC_ROOT = tmp_path / "static"

        prepare.collect_static()
        prepare.collect_static()

        assert counted == ["collectstatic"]

    def test_get_names_that_change_with_their_content(self):
        assert settings.WHITENOISE_KEEP_ONLY_HASHED_FILES


class TestFullDisk:
    def test_in_the_middle_is_one_sentence(self):
        code = (
            "import sys, runpy; sys.argv = ['manage.py', 'up']; from ocenter import home\n"
            f"def full(_home): raise OSError({errno.ENOSPC}, 'No space left on device')\n"
            "home.ensure_secrets = full; runpy.run_path('manage.py', run_name='__main__')"
        )

        ran = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)

        assert ran.returncode == 1 and ran.stderr == "The disk is full; free some space and start again.\n"

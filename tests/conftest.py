"""Starts a real PostgreSQL and a real Valkey once for a whole run, also for one with several workers (xdist).

It happens when this file is imported, because Django's settings and the models that other files import need both.
"""

import os

from tests import servers

servers.start()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")

import django  # noqa: E402  # only now do the settings find their servers
import hypothesis  # noqa: E402
import pytest  # noqa: E402

django.setup()

from tests import emptying  # noqa: E402

emptying.delete_rows_only()
# How fast the machine is says nothing about what is tested.
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")


@pytest.fixture(autouse=True, scope="session")
def _plain_static_files():
    """Names without hashes, so that no test needs a collected folder."""
    from django.conf import settings

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.fixture(autouse=True, scope="session")
def _passwords_are_hashed_fast():
    """How slow that is for who guesses is Django's matter, and hundreds of tests log in."""
    from django.contrib.auth.hashers import Argon2PasswordHasher

    Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost, Argon2PasswordHasher.parallelism = 1, 8, 1


@pytest.fixture(autouse=True)
def _rights_are_looked_up_anew(monkeypatch):
    """A test's transaction never commits, so nothing tells that rights changed; and no test pays for asking."""
    from pools.selectors import access

    access._kept.clear()
    monkeypatch.setattr(access, "ASKED_EVERY_SECONDS", 3600.0)


@pytest.fixture(autouse=True)
def _pools_are_looked_up_anew(monkeypatch):
    """A test changes pools and asks for devices within the same second."""
    from pools.selectors import placeable

    monkeypatch.setattr(placeable, "KEPT_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def _hints_go_at_once(monkeypatch):
    """A test counts its own messages, whatever the one before it sent."""
    from pools import dispatch

    monkeypatch.setattr(dispatch, "TOGETHER_SECONDS", 0.0)
    monkeypatch.setattr(dispatch, "WAITING_SECONDS", 0)


def pytest_xdist_setupnodes():
    """Let each worker read the settings after it has servers of its own: with this name they would be read before."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_unconfigure():
    servers.stop()

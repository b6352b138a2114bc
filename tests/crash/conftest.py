"""A site that may be broken, and this process's Django on it."""

import pytest
from celery import Celery
from django.conf import settings
from django.db import connection, connections

from ocenter import addresses
from ocenter.settings import _database
from pools import dispatch
from pools.models import Pool
from tests.crash.life import Life
from tests.crash.site import Site


@pytest.fixture(scope="session")
def running_site():
    site = Site()
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture
def site(running_site, django_db_blocker, monkeypatch):
    """The site without pools, processes and messages; models of this process live in its database."""
    ours = dict(connection.settings_dict)
    superuser = running_site.postgres.url(addresses.SUPERUSER, running_site.secrets.superuser_password)
    monkeypatch.setattr(settings, "CREDENTIAL_KEYS", tuple(running_site.secrets.credential_keys))
    with django_db_blocker.unblock():
        connections.close_all()
        connection.settings_dict.update(_database(superuser))
        _empty()
        running_site.broker().flushall()
        try:
            yield running_site
        finally:
            running_site.end_processes()
            connections.close_all()
            connection.settings_dict.clear()
            connection.settings_dict.update(ours)


@pytest.fixture
def folder(site):
    """An empty one, in which simulated fleets remember what happened to them."""
    folder = site.folder / "fleets"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    return folder


@pytest.fixture
def mode():
    return "device"


@pytest.fixture
def life(site, folder, mode, monkeypatch):
    """What this process tells workers goes to the site's broker."""
    app = Celery("tests", broker=site.environment["OCENTER_BROKER_URL"], set_as_current=False)
    monkeypatch.setattr(dispatch, "current_app", app)
    yield Life(site, folder, mode)
    app.close()


def _empty():
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE pool, node, device, device_twin, capacity, capacity_rollup, inventory_change, audit_event,"
            " ledger_event, seal, project, allocation, member, claim, operation, target, delivery CASCADE"
        )
    assert not Pool.objects.exists()

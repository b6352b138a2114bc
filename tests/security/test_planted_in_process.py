"""The quick look for planted secrets, in every run of the tests: one process, and platforms that quote everything.

What a whole installation leaves behind is looked through by test_planted_secrets.py.
"""

import io
import logging

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from ocenter import logs
from ocenter.celery import app
from pools.models import Pool, PoolSync
from pools.reconcile import checks, inventory
from tests.connectors.server import serving
from tests.security import echo, places
from tests.security.planted import Planted, made_up

pytestmark = pytest.mark.django_db


@pytest.fixture
def written():
    """What our own formatter writes of all that is logged, at the most talkative level."""
    formatter = dict(logs.config("debug")["formatters"]["json"])
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(formatter.pop("()")(**formatter))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def platform():
    with serving(echo.platform) as platform:
        yield platform


class TestAPlantedSecret:
    def test_is_nowhere_after_everything_went_wrong_with_it(
        self, api, token, platform, written, django_capture_on_commit_callbacks
    ):
        planted = Planted(token=token)
        known = planted.add("kubernetes token", made_up("k8s").replace("=&", ""))
        word = planted.add("openstack password", made_up("openstack"))
        wrong = planted.add("wrong password", made_up("wrong"))
        misplaced = planted.add("misplaced secret", made_up("misplaced"))
        openstack = {"auth_url": f"{platform.url}/v3", "username": "u", "project_name": "p"}
        answers = []
        with django_capture_on_commit_callbacks(execute=True):
            for name, kind, settings, credential in (
                ("one", "kubernetes", {"api_url": platform.url}, {"token": known}),
                ("two", "openstack", openstack, {"password": word}),
            ):
                body = {"name": name, "kind": kind, "settings": settings, "credential": credential}
                answers.append(api.post("/pools", body))
                answers.append(api.post(f"/pools/{name}/check", {}))
            for settings in ({"token": misplaced}, {"api_url": f"https://u:{misplaced}@p.example"}):
                answers.append(api.post("/pools", {"name": "x", "kind": "kubernetes", "settings": settings}))
            answers.append(Client().post("/login/", {"username": "root", "password": wrong}))
            answers.append(api.get("/pools", headers={"Authorization": f"Bearer {token}x"}))
        for pool in Pool.objects.all():
            checks.run(pool_id=pool.pk, clock=timezone.now)
            Pool.objects.filter(pk=pool.pk).update(state="active", identity="x")
            PoolSync.objects.filter(pool=pool).update(next_at=timezone.now())
            inventory.run(pool_id=pool.pk, clock=timezone.now)
            answers += [api.get(f"/pools/{pool.name}/check"), api.get(f"/sync-runs?pool={pool.name}")]
        answers.append(api.get("/metrics"))

        with app.connection() as connected:
            messages = [text for _, text in places.keys(connected.default_channel.client)]
        rows = [row for _, row in places.rows(connection.connection)]
        texts = [answer.content for answer in answers]

        assert sum(b"Not you" in text for text in texts) >= 4 and "run_failed" in written.getvalue()
        assert planted.found_in(*texts) == set()
        assert planted.found_in(written.getvalue()) == set()
        assert planted.found_in(*rows) == set()
        assert planted.found_in(*messages) == set()

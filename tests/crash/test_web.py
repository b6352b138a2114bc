"""Real web servers are replaced one after the other while clients ask and real workers carry it out."""

import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.models import Allocation
from pools.services import tokens
from tests.crash.clients import Client
from tests.crash.life import attempts
from tests.crash.site import until
from tests.factories import person, project
from tests.up.running import free_port

pytestmark = pytest.mark.crash

CLIENTS = 4


class Web:
    """A web server that is always at one address."""

    def __init__(self, site):
        self._site = site
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self):
        self.process = self._site.run("ocenter.web", OCENTER_PORT=str(self._port), OCENTER_API_REQUESTS_PER_MINUTE="0")
        until(self._answers, self.process.said)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.address}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


@pytest.fixture
def webs(site):
    return [Web(site) for _ in range(2)]


@contextmanager
def asking(webs, lab):
    """Let clients ask all the time."""
    ed = person("ed")
    project("acme/vision", member=ed)
    token = tokens.make(username="ed", name="posting", actor=SYSTEM, now=timezone.now())
    body = {"project": "acme/vision", "any_of": [{"model": lab.model.slug}], "lease_seconds": 1800}
    clients = [Client([web.address for web in webs], token, body) for _ in range(CLIENTS)]
    is_over = Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        living = [threads.submit(client.live, is_over) for client in clients]
        try:
            yield clients
        finally:
            is_over.set()
    for each in living:
        each.result()


class TestEveryRequest:
    def test_has_one_allocation_though_web_servers_are_stopped_and_killed_one_after_the_other(self, webs, life):
        life.work(count=2)

        with asking(webs, life.lab) as clients:
            for web in webs:
                web.process.ask(signal.SIGTERM)
                assert web.process.wait() == 0, web.process.said()
                web.start()
            os.killpg(webs[0].process.pid, signal.SIGKILL)
            webs[0].process.wait()
            webs[0].start()

        assert all(client.repeats for client in clients)
        for client in clients:
            life.wanted |= client.wanted
        assert sum(len(client.wanted) for client in clients) == Allocation.objects.count() == len(life.wanted)
        life.arrive()
        assert attempts() == {1}
        life.leave()

"""The web server as `manage.py up` runs it, on a database of its own that this process's Django may fill."""

import urllib.request

import pytest

from tests.crash.site import Site, until
from tests.up.running import free_port
from tests.up.server import django_as_application


@pytest.fixture(scope="session")
def site():
    made = Site()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def address(site, django_db_blocker):
    """Where the server is. It counts no requests, for the limit would answer instead of the API."""
    port = free_port()
    web = site.run("ocenter.web", OCENTER_PORT=str(port), OCENTER_API_REQUESTS_PER_MINUTE="0")
    found = f"http://127.0.0.1:{port}"
    until(lambda: _answers(found), web.said)
    with django_db_blocker.unblock(), django_as_application(site.postgres, site.secrets):
        yield found
    assert _answers(found), f"the server is gone: {web.said()[-5000:]}"
    web.end()


def _answers(address):
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False

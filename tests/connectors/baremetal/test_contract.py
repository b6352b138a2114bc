"""The rules of every connector, against hosts played in this process."""

import pytest

from connectors.baremetal import observe
from connectors.baremetal.look import LOOK
from tests.connectors.baremetal.double_ssh import OTHER_KEY, private, served
from tests.connectors.contract import ConnectorContract


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(observe, "HOSTS_PER_PAGE", 2)


@pytest.mark.usefixtures("small_pages")
class TestBaremetal(ConnectorContract):
    missing_permission = pytest.fixture(lambda self: "gpu01: execute nvidia-smi")

    @pytest.fixture
    def site(self):
        with served() as site:
            yield site

    @pytest.fixture
    def secret(self, site):
        return site.credential["private_key"].splitlines()[2]

    @pytest.fixture
    def connect(self, site, open_session):
        return lambda: open_session("baremetal", site.settings, site.credential)

    @pytest.fixture
    def with_wrong_credential(self, site, open_session):
        return open_session("baremetal", site.settings, {"private_key": private(OTHER_KEY)})

    @pytest.fixture
    def nowhere(self, site, open_session):
        for host in site.hosts:
            host.port = 9
        return open_session("baremetal", site.settings, site.credential)

    @pytest.fixture
    def without_permission(self, open_session):
        with served() as site:
            site["gpu01"].fail("nvidia-smi", 126, "timeout: failed to run command 'nvidia-smi': Permission denied")
            yield open_session("baremetal", site.settings, site.credential)

    @pytest.fixture
    def breaking(self, site, open_session):
        for name in ("gpu03", "gpu04"):  # the whole second page
            site[name].cut_once[LOOK] = 20
        return open_session("baremetal", site.settings, site.credential)

"""An administrator, a fleet and a browser's session, shared with the tests of the API and of the console."""

import pytest

from tests.api.conftest import Api, admin, token
from tests.web.conftest import clock, console, fleet

__all__ = ["admin", "api", "clock", "console", "fleet", "token"]


@pytest.fixture
def api(token):
    return Api(token)

"""Allocations on real sshd hosts, from the request to the proof that nothing is left: people log in and open cards."""

import pytest

from tests.connectors.baremetal.prepared import prepared
from tests.life.dying import POINTS, crash
from tests.life.hosts import Hosts
from tests.life.tenant import tenant_of
from tests.life.walk import walk

pytestmark = [pytest.mark.backend, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with prepared() as real:
        yield Hosts(real, tmp_path_factory.mktemp("keys"))


class TestAnAllocation:
    def test_of_each_shape_is_used_by_log_in_and_leaves_nothing(self, hosts):
        with tenant_of(hosts) as tenant:
            for shape in hosts.shapes:
                walk(tenant, shape, print)


class TestAWorkerKilled:
    @pytest.mark.parametrize("point", POINTS)
    def test_in_the_middle_leaves_what_the_next_one_completes(self, hosts, point):
        with tenant_of(hosts) as tenant:
            crash(tenant, point)

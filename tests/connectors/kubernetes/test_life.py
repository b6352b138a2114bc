"""Allocations on a cluster's double, from the request to the proof that nothing is left, used by their kubeconfig."""

import pytest

from tests.connectors.server import serving
from tests.life.cluster import SHAPES, Kubernetes, cluster
from tests.life.dying import POINTS, crash
from tests.life.tenant import tenant_of
from tests.life.walk import walk

pytestmark = pytest.mark.django_db(transaction=True)


class TestAnAllocation:
    @pytest.mark.parametrize("mode", SHAPES)
    def test_of_each_shape_is_used_by_kubeconfig_and_leaves_nothing(self, mode):
        made = cluster()
        with serving(made) as server, tenant_of(Kubernetes(made, server, mode)) as tenant:
            for shape in tenant.platform.shapes:
                walk(tenant, shape, print)


@pytest.mark.crash
class TestAWorkerKilled:
    @pytest.mark.parametrize("point", POINTS)
    def test_in_the_middle_leaves_what_the_next_one_completes(self, point):
        made = cluster()
        with serving(made) as server, tenant_of(Kubernetes(made, server, "quota")) as tenant:
            crash(tenant, point)

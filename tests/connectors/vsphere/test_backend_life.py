"""Allocations on a real vSphere API server, from the request to the proof that nothing is left, read back over it."""

import pytest

from tests.life.dying import POINTS, crash
from tests.life.tenant import tenant_of
from tests.life.vcenter import SHAPES, VSphere
from tests.life.walk import walk

pytestmark = [pytest.mark.backend, pytest.mark.django_db(transaction=True)]


class TestAnAllocation:
    @pytest.mark.parametrize("mode", SHAPES)
    def test_of_each_shape_is_what_was_given_and_leaves_nothing(self, backend, mode):
        with tenant_of(VSphere(backend, mode)) as tenant:
            for shape in tenant.platform.shapes:
                walk(tenant, shape, print)


class TestAWorkerKilled:
    @pytest.mark.parametrize("point", POINTS)
    def test_in_the_middle_leaves_what_the_next_one_completes(self, backend, point):
        with tenant_of(VSphere(backend, "vgpu")) as tenant:
            crash(tenant, point)

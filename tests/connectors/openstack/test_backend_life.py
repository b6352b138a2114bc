"""Allocations on real clouds, from the request to the proof that nothing is left, read back from their services."""

import pytest

from tests.life.clouds import SHAPES, OpenStack
from tests.life.dying import POINTS, crash
from tests.life.tenant import tenant_of
from tests.life.walk import walk

pytestmark = [pytest.mark.backend, pytest.mark.django_db(transaction=True)]
CLOUDS = {"placement": "backend", "nova": "nova_backend"}


class TestAnAllocation:
    @pytest.mark.parametrize("mode", SHAPES)
    def test_of_each_shape_is_what_was_given_and_leaves_nothing(self, request, mode):
        with tenant_of(OpenStack(request.getfixturevalue(CLOUDS[mode]), mode)) as tenant:
            for shape in tenant.platform.shapes:
                walk(tenant, shape, print)


class TestAWorkerKilled:
    @pytest.mark.parametrize("mode", SHAPES)
    @pytest.mark.parametrize("point", POINTS)
    def test_in_the_middle_leaves_what_the_next_one_completes(self, request, mode, point):
        with tenant_of(OpenStack(request.getfixturevalue(CLOUDS[mode]), mode)) as tenant:
            crash(tenant, point)

"""How old is too old is told in Python and in SQL, and both say the same."""

from datetime import timedelta

import pytest

from pools.domain import freshness as rules
from pools.models import Pool, PoolSync
from pools.selectors import freshness
from tests.factories import NOW, pool

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("interval", [5, 60, 61, 3600])
@pytest.mark.parametrize("late", [-1, 0, 1])
def test_a_pool_is_fresh_in_sql_exactly_when_it_is_in_python(interval, late):
    lab = pool(sync_interval_seconds=interval)
    now = rules.stale_at(NOW, interval) + timedelta(seconds=late)
    PoolSync.objects.filter(pool=lab).update(observed_at=NOW)

    is_fresh = Pool.objects.filter(freshness.fresh(now)).exists()

    assert is_fresh is not rules.is_stale(NOW, interval, now)
    assert is_fresh is (late < 0)


def test_a_pool_never_observed_is_not_fresh():
    pool()

    assert not Pool.objects.filter(freshness.fresh(NOW)).exists() and rules.is_stale(None, 60, NOW)

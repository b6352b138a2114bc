"""When a pool is observed next."""

from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from pools.domain.schedule import BACK_OFF_MAX_SECONDS, FAILURES_TO_OPEN, JITTER_SHARE, after_run
from tests.factories import NOW

intervals = st.integers(5, 86400)
failures = st.integers(0, 10_000)


def delay(interval: int, failed: int, pool_id: UUID, *, at: datetime = NOW, **asked: float) -> float:
    due = after_run(now=at, interval_seconds=interval, failures=failed, pool_id=pool_id, **asked)
    return (due.at - at).total_seconds()


class TestTheNextRun:
    @given(intervals, failures, st.uuids())
    def test_is_never_sooner_than_the_interval_nor_later_than_the_longest_back_off(self, interval, failed, pool_id):
        longest = max(interval, BACK_OFF_MAX_SECONDS)

        assert interval * (1 - JITTER_SHARE) - 1 <= delay(interval, failed, pool_id) <= longest * (1 + JITTER_SHARE) + 1

    @given(intervals, st.integers(0, 20), st.uuids())
    def test_is_no_sooner_after_more_failures(self, interval, failed, pool_id):
        assert delay(interval, failed, pool_id) <= delay(interval, failed + 1, pool_id)

    @given(intervals, failures, st.uuids(), st.floats(0, 100_000))
    def test_waits_as_long_as_the_platform_asked(self, interval, failed, pool_id, asked):
        assert delay(interval, failed, pool_id, after_seconds=asked) >= asked - 0.001

    @given(intervals, failures, st.uuids())
    def test_is_the_same_for_the_same_pool_and_time(self, interval, failed, pool_id):
        assert delay(interval, failed, pool_id) == delay(interval, failed, pool_id)

    @given(st.lists(st.uuids(), min_size=50, max_size=50, unique=True))
    def test_is_spread_so_that_pools_drift_apart(self, pool_ids):
        delays = [delay(60, 0, pool_id) for pool_id in pool_ids]

        assert max(delays) - min(delays) > 60 * JITTER_SHARE

    @given(failures, st.uuids())
    def test_opens_the_breaker_after_enough_failures_until_then(self, failed, pool_id):
        due = after_run(now=NOW, interval_seconds=60, failures=failed, pool_id=pool_id)

        assert due.breaker_open_until == (due.at if failed >= FAILURES_TO_OPEN else None)
        assert due.at > NOW + timedelta(seconds=50)

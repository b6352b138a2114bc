"""The fleet for a monitoring system, in its text format. Names of pools are for those who may see them."""

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from pools.selectors import metrics


class Fleet:
    """A collector that reads the database once for each scrape."""

    def collect(self) -> Iterator[Metric]:
        """Yield one family a figure; every sample names its pool."""
        yield from _pools()
        yield _capacity()
        yield from _logs()


def _pools() -> Iterator[Metric]:
    labels = ("pool", "kind")
    age = GaugeMetricFamily("ocenter_pool_observed_age_seconds", "Since the last complete observation.", labels=labels)
    stale = GaugeMetricFamily("ocenter_pool_stale", "1: the pool's numbers are old.", labels=labels)
    failures = GaugeMetricFamily("ocenter_pool_failures_in_a_row", "Failed runs since the last good.", labels=labels)
    took = GaugeMetricFamily("ocenter_pool_last_run_seconds", "How long the last run took.", labels=labels)
    health = GaugeMetricFamily("ocenter_pool_info", "1 for what holds.", labels=(*labels, "state", "health"))
    for pool in metrics.pools(timezone.now()):
        own = (pool.pool, pool.kind)
        # A value that is not known is no sample: missing is not zero.
        if pool.observed_seconds is not None:
            age.add_metric(own, pool.observed_seconds)
        if pool.last_run_seconds is not None:
            took.add_metric(own, pool.last_run_seconds)
        stale.add_metric(own, float(pool.is_stale))
        failures.add_metric(own, pool.consecutive_failures)
        health.add_metric((*own, pool.state, pool.health), 1)
    yield from (age, stale, failures, took, health)


def _capacity() -> Metric:
    family = GaugeMetricFamily(
        "ocenter_capacity_devices",
        "Devices by state; a part of one counts as such.",
        labels=("pool", "model", "profile", "state"),
    )
    for share in metrics.shares():
        for state, milli in share.by_state.items():
            family.add_metric((share.pool, share.model, share.profile, state), milli / 1000)
    return family


def _logs() -> Iterator[Metric]:
    rows = GaugeMetricFamily("ocenter_log_unsealed_rows", "Rows that no seal proves yet.", labels=("stream",))
    age = GaugeMetricFamily("ocenter_log_unsealed_age_seconds", "Of the oldest such row.", labels=("stream",))
    is_ok = GaugeMetricFamily("ocenter_log_check_ok", "1: the last check found audit and ledger unaltered.")
    ago = GaugeMetricFamily("ocenter_log_check_age_seconds", "Since the last check of audit and ledger.")
    now = timezone.now()
    for log in metrics.logs(now):
        rows.add_metric((log.stream,), log.unsealed_rows)
        age.add_metric((log.stream,), log.unsealed_seconds)
    if check := metrics.last_check(now):
        is_ok.add_metric((), float(check.is_ok))
        ago.add_metric((), check.seconds)
    yield from (rows, age, is_ok, ago)

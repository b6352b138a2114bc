"""How busy devices were, an hour a row. No time-series database: what graphs want by the minute is the exporters'."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from pools.models.columns import not_negative

_COUNTS = ("utilisation_count", "memory_count", "power_count")


class DeviceUsageHour(models.Model):
    """What one device measured in one hour, each reading added to the row.

    An average is ``<what>_sum / <what>_count``: a reading that did not tell something counts in ``samples`` only, and
    what nobody told in the hour is NULL, which is not zero. Utilisation is in percent, memory in MiB, power in watts.
    """

    pk = models.CompositePrimaryKey("device_id", "hour_at")
    device_id = models.UUIDField()
    hour_at = models.DateTimeField()
    pool_id = models.UUIDField()
    samples = models.IntegerField()
    utilisation_count = models.IntegerField(default=0)
    utilisation_sum = models.FloatField(null=True)
    utilisation_max = models.FloatField(null=True)
    memory_count = models.IntegerField(default=0)
    memory_sum = models.BigIntegerField(null=True)
    memory_max = models.IntegerField(null=True)
    power_count = models.IntegerField(default=0)
    power_sum = models.FloatField(null=True)
    power_max = models.FloatField(null=True)
    temperature_max = models.FloatField(null=True)

    class Meta:
        db_table = "device_usage_hour"
        constraints = [not_negative("device_usage_hour_not_negative", "samples", *_COUNTS)]
        # Rows come in the order of time and go by it; a tree of them would cost more than all the rest.
        indexes = [BrinIndex(fields=["hour_at"], name="device_usage_hour_at")]

"""How broken up what is free was, a day a row: the last measurement of each day, and of today the one that counts."""

from django.db import models


class FragmentationDay(models.Model):
    """What was measured of a pool and model last on a day (UTC). See ``domain.fragmentation`` and ``domain.largest``.

    ``unusable_milli`` is null where nothing was asked for before. ``largest`` are the largest shapes. The two that were
    ``seen`` are what the roll-ups said then: while they say the same, nothing is measured again.
    """

    pk = models.CompositePrimaryKey("pool_id", "model_id", "day")
    pool_id = models.UUIDField()
    model_id = models.UUIDField()
    day = models.DateField()
    measured_at = models.DateTimeField()
    free_milli = models.BigIntegerField()
    unusable_milli = models.BigIntegerField(null=True)
    largest = models.JSONField()
    seen_free_milli = models.BigIntegerField()
    seen_free_whole = models.BigIntegerField()

    class Meta:
        db_table = "fragmentation_day"
        indexes = [models.Index(fields=["day"], name="fragmentation_day_day")]

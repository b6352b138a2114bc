"""The chip catalogue as rows, so that inventory can refer to it. The facts come from pools/catalogue."""

from django.db import models

from pools.domain import ids
from pools.models.columns import not_negative


class ChipModel(models.Model):
    """A kind of accelerator. ``is_catalogued`` is False for one that a platform reported and the catalogue lacks."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    slug = models.CharField(max_length=100, unique=True)
    vendor = models.CharField(max_length=63)
    name = models.CharField(max_length=255)
    memory_mib = models.IntegerField(default=0)
    interconnect = models.CharField(max_length=32, default="")
    compute_unit_milli = models.IntegerField(default=1000)
    is_catalogued = models.BooleanField(default=True)
    source = models.TextField(default="")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "chip_model"
        constraints = [not_negative("chip_model_not_negative", "memory_mib", "compute_unit_milli")]

    def __str__(self) -> str:
        return self.slug


class Profile(models.Model):
    """A way to cut devices of a model: a fixed share of compute and memory."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    model = models.ForeignKey(ChipModel, on_delete=models.CASCADE, related_name="profiles")
    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=16)
    milli = models.IntegerField()
    memory_mib = models.IntegerField()
    max_per_device = models.IntegerField()

    class Meta:
        db_table = "profile"
        constraints = [
            models.UniqueConstraint(fields=["model", "name"], name="profile_unique"),
            not_negative("profile_not_negative", "milli", "memory_mib", "max_per_device"),
        ]

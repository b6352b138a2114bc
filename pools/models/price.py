"""Flavors, prices per hour, and what pack has learned of the requests."""

from django.db import models
from django.db.models import Q

from pools.domain import ids
from pools.models.columns import not_negative
from pools.models.model import ChipModel
from pools.models.pool import Pool


class Flavor(models.Model):
    """A named request template. ``spec`` has the fields of a request that it sets; the request may not set them."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    name = models.CharField(max_length=63)
    description = models.CharField(max_length=500, default="")
    spec = models.JSONField()
    generation = models.BigIntegerField(default=1)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "flavor"
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(removed_at=None), name="flavor_name_unique")
        ]


class Price(models.Model):
    """What an hour costs from ``from_at`` on, until a later row of the same scope: of a flavor, or of one device.

    The row with the most that fits is taken: flavor, then model with profile, then model; of the pool before of all.
    ``per_hour`` is of a whole device (1000 milli), of one piece where ``profile`` is set, of a member for a flavor.
    Rows are only added, so that what was charged can be told again. ``followed_at`` is when the ledger of those who
    had allocations then was split at ``from_at``; null: not yet.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    flavor = models.ForeignKey(Flavor, on_delete=models.PROTECT, null=True, related_name="prices")
    model = models.ForeignKey(ChipModel, on_delete=models.PROTECT, null=True, related_name="+")
    profile = models.CharField(max_length=63, null=True)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, null=True, related_name="+")
    per_hour = models.DecimalField(max_digits=18, decimal_places=6)
    from_at = models.DateTimeField()
    created_at = models.DateTimeField()
    followed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "price"
        indexes = [models.Index(fields=["from_at"], condition=Q(followed_at=None), name="price_to_follow")]
        constraints = [
            models.UniqueConstraint(
                fields=["flavor", "model", "profile", "pool", "from_at"], name="price_unique", nulls_distinct=False
            ),
            not_negative("price_not_negative", "per_hour"),
            models.CheckConstraint(
                condition=Q(flavor__isnull=False, model=None, profile=None) | Q(flavor=None, model__isnull=False),
                name="price_of_something",
            ),
        ]


class RequestKind(models.Model):
    """How often a kind of request came, refused ones too: the mix that pack learns.

    ``key`` is a digest of ``shape``.
    """

    key = models.BigIntegerField(primary_key=True)
    shape = models.JSONField()
    asked = models.BigIntegerField(default=0)
    last_asked_at = models.DateTimeField()

    class Meta:
        db_table = "request_kind"


class PackingPrices(models.Model):
    """What a unit of each kind's room was worth at one moment; a decision stores the version it used."""

    version = models.BigAutoField(primary_key=True)
    weights = models.JSONField()
    total_milli = models.BigIntegerField()
    free_milli = models.BigIntegerField()
    made_at = models.DateTimeField()

    class Meta:
        db_table = "packing_prices"

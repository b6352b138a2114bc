"""Quotas: how much a project and all below it may have at once, and how much of that is taken."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from pools.domain import ids
from pools.models.columns import not_negative
from pools.models.model import ChipModel
from pools.models.project import Project


class Quota(models.Model):
    """Numbers for one project and one scope: a model, a model's profile, or (``model`` null) everything.

    Milli-devices, or milli compute units where the scope is everything. ``pools`` are the ids of the pools it counts
    in, sorted; null is all. ``parent`` is the row of the same scope at the nearest project above that has one.
    ``used_milli`` counts what the project and all below hold and claim, ``open_guarantee_milli`` what this row keeps
    for the rows right below: the sum of ``domain.quotas.Row.kept_milli``, greatest(0, nominal - lend limit - used)
    where they keep nothing for rows of their own. ``generation`` also grows when rows come or go that the same claims
    count in. Null limits: borrow without limit, lend all of it, no hard limit.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="quotas", db_index=False)
    model = models.ForeignKey(ChipModel, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    profile = models.CharField(max_length=63, null=True)
    pools = ArrayField(models.UUIDField(), null=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    depth = models.SmallIntegerField()
    nominal_milli = models.BigIntegerField()
    borrow_limit_milli = models.BigIntegerField(null=True)
    lend_limit_milli = models.BigIntegerField(null=True)
    hard_limit_milli = models.BigIntegerField(null=True)
    weight = models.IntegerField(default=1)
    used_milli = models.BigIntegerField(default=0)
    open_guarantee_milli = models.BigIntegerField(default=0)
    generation = models.BigIntegerField(default=1)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "quota"
        constraints = [
            models.UniqueConstraint(
                fields=["project", "model", "profile", "pools"], name="quota_unique", nulls_distinct=False
            ),
            not_negative("quota_not_negative", "nominal_milli", "used_milli", "open_guarantee_milli"),
            models.CheckConstraint(
                condition=(Q(borrow_limit_milli=None) | Q(borrow_limit_milli__gte=0))
                & (Q(lend_limit_milli=None) | Q(lend_limit_milli__gte=0))
                & (Q(hard_limit_milli=None) | Q(hard_limit_milli__gte=0)),
                name="quota_limits_not_negative",
            ),
            models.CheckConstraint(condition=Q(weight__gte=1, weight__lte=1000), name="quota_weight_range"),
            models.CheckConstraint(condition=Q(profile=None) | Q(model__isnull=False), name="quota_profile_of_model"),
        ]

"""What carries our marker on a platform without a claim."""

from django.db import models
from django.db.models import Q

from pools.domain import ids, orphans
from pools.models.columns import not_negative, one_of
from pools.models.node import Node
from pools.models.pool import Pool
from pools.models.target import Target


class Orphan(models.Model):
    """One marker of ours that no claim of the pool explains. Opened and closed by complete observations.

    ``milli`` and ``memory_mib`` are what it uses, ``places`` [{node, device}] where it was seen, twenty at most.
    ``target`` is what a worker makes carry nothing of it, once somebody asked at ``reap_asked_at``.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    marker = models.CharField(max_length=255)
    holder = models.CharField(max_length=255, default="")
    node = models.ForeignKey(
        Node, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    milli = models.BigIntegerField(default=0)
    memory_mib = models.BigIntegerField(default=0)
    places = models.JSONField(default=list)
    origin = models.CharField(max_length=8, default="seen")
    opened_at = models.DateTimeField()
    reap_asked_at = models.DateTimeField(null=True)
    target = models.ForeignKey(
        Target, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    closed_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=8, null=True)

    class Meta:
        db_table = "orphan"
        constraints = [
            models.UniqueConstraint(fields=["pool", "marker"], condition=Q(closed_at=None), name="orphan_open_unique"),
            one_of("origin", orphans.ORIGINS, "orphan_origin_known"),
            one_of("outcome", orphans.OUTCOMES, "orphan_outcome_known"),
            models.CheckConstraint(
                condition=Q(closed_at=None, outcome=None) | Q(closed_at__isnull=False, outcome__isnull=False),
                name="orphan_closed_at_matches",
            ),
            not_negative("orphan_not_negative", "milli", "memory_mib"),
        ]

"""Targets that do not carry on their platforms what they shall."""

from django.db import models
from django.db.models import Q

from pools.domain import drift, ids
from pools.models.columns import one_of
from pools.models.pool import Pool
from pools.models.target import Target


class Drift(models.Model):
    """One difference of one target, from when it was first seen until it is over.

    ``calls`` are those that would make it as ordered, ``found`` the platform's answer (null: nothing is there),
    ``trouble`` {code, message, words, class} why the platform would refuse them. ``gone`` are the allocations of
    which nothing is there.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    code = models.CharField(max_length=32)
    state = models.CharField(max_length=9, default="open")
    calls = models.JSONField(default=list)
    found = models.JSONField(null=True)
    trouble = models.JSONField(null=True)
    gone = models.JSONField(default=list)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=8, null=True)

    class Meta:
        db_table = "drift"
        constraints = [
            models.UniqueConstraint(fields=["target"], condition=Q(closed_at=None), name="drift_open_unique"),
            one_of("state", drift.STATES, "drift_state_known"),
            one_of("outcome", drift.OUTCOMES, "drift_outcome_known"),
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False, outcome__isnull=False)
                | (~Q(state="closed") & Q(closed_at=None, outcome=None)),
                name="drift_closed_at_matches",
            ),
        ]

"""Targets: the platform objects that carry orders, and what is known of each."""

from django.db import models
from django.db.models import Q

from pools.domain import ids
from pools.models.columns import not_negative
from pools.models.node import Node
from pools.models.pool import Pool
from pools.models.project import Project


class Target(models.Model):
    """One platform object. Which orders it shall carry is said by its members (``Member.order_state``).

    ``generation`` grows with every change of them, ``applied_generation`` is the last that the platform confirmed.
    ``is_unknown``: something was sent and nobody knows what came of it, so the platform is asked before anything else.
    ``due_at`` null: nothing is to be done. ``turn_token`` and ``turn_until`` are the lock of the one worker that may
    change it; a turn whose time is over is free. ``found`` is the platform's last answer, ``trouble`` {code, message,
    words, class} what stands in the way.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    kind = models.CharField(max_length=32)
    ref = models.CharField(max_length=255)
    node = models.ForeignKey(
        Node, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    mode = models.CharField(max_length=32)
    is_tenants = models.BooleanField(default=False)
    generation = models.BigIntegerField(default=1)
    applied_generation = models.BigIntegerField(default=0)
    is_unknown = models.BooleanField(default=False)
    due_at = models.DateTimeField(null=True)
    turn_token = models.UUIDField(null=True)
    turn_until = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)
    found = models.JSONField(null=True)
    found_at = models.DateTimeField(null=True)
    trouble = models.JSONField(null=True)
    checked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "target"
        constraints = [
            models.UniqueConstraint(fields=["pool", "kind", "ref"], name="target_unique"),
            not_negative("target_not_negative", "generation", "applied_generation", "failures"),
        ]
        indexes = [
            models.Index(fields=["pool", "due_at"], condition=Q(due_at__isnull=False), name="target_due"),
            models.Index(
                fields=["pool", "checked_at"], condition=Q(due_at=None, found__isnull=False), name="target_compared"
            ),
        ]


class Delivery(models.Model):
    """What a tenant needs to use what it has on one target. Deleted when the allocation gives it back.

    ``facts`` may be shown, the secrets are encrypted as those of pools are. ``expires_at`` is when the platform itself
    ends it, ``due_at`` when the platform is asked for it (again); null: it lasts.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    allocation_id = models.UUIDField()
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="+", db_constraint=False)
    kind = models.CharField(max_length=16, default="")
    facts = models.JSONField(default=dict)
    ciphertext = models.BinaryField(default=b"")
    key_id = models.CharField(max_length=16, default="")
    secret_names = models.JSONField(default=list)
    made_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)
    trouble = models.JSONField(null=True)

    class Meta:
        db_table = "delivery"
        constraints = [
            models.UniqueConstraint(fields=["allocation_id", "target"], name="delivery_unique"),
            not_negative("delivery_not_negative", "failures"),
        ]
        indexes = [models.Index(fields=["pool", "due_at"], condition=Q(due_at__isnull=False), name="delivery_due")]

"""Sync runs and what each of them changed."""

from django.db import models

from pools.domain import ids, states
from pools.models.columns import not_negative, one_of
from pools.models.pool import Pool


class SyncRun(models.Model):
    """One observation of a pool. Numbers count objects: nodes and devices together; ``counts`` has them apart."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="sync_runs")
    kind = models.CharField(max_length=16, default="full")
    trigger = models.CharField(max_length=16)
    state = models.CharField(max_length=16, default="queued")
    is_dry_run = models.BooleanField(default=False)
    complete = models.BooleanField(default=False)
    seen = models.IntegerField(default=0)
    created = models.IntegerField(default=0)
    changed = models.IntegerField(default=0)
    unchanged = models.IntegerField(default=0)
    missing = models.IntegerField(default=0)
    retired = models.IntegerField(default=0)
    counts = models.JSONField(default=dict)
    pages = models.IntegerField(default=0)
    byte_count = models.BigIntegerField(default=0)
    cursor = models.JSONField(null=True)
    warnings = models.JSONField(default=list)
    error = models.JSONField(null=True)  # {code, message, platform_words}
    hold = models.JSONField(null=True)  # {reason, nodes, devices}: what waits for a person
    preview = models.JSONField(null=True)  # a dry run's first changes
    phases = models.JSONField(default=dict)  # seconds by phase
    actor = models.CharField(max_length=255, default="")
    request_id = models.CharField(max_length=64, default="")
    decided_by = models.CharField(max_length=255, default="")
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "sync_run"
        constraints = [
            # Any number of triggers while a run is on makes one follow-up.
            models.UniqueConstraint(
                fields=["pool", "is_dry_run"], condition=models.Q(state="queued"), name="sync_run_one_queued"
            ),
            models.UniqueConstraint(fields=["pool"], condition=models.Q(state="running"), name="sync_run_one_running"),
            one_of("state", states.RUN_STATES, "sync_run_state_known"),
            one_of("kind", states.RUN_KINDS, "sync_run_kind_known"),
            one_of("trigger", states.RUN_TRIGGERS, "sync_run_trigger_known"),
            not_negative("sync_run_not_negative", "seen", "created", "changed", "unchanged", "missing", "retired"),
        ]
        indexes = [
            models.Index(fields=["pool", "-queued_at", "-id"], name="sync_run_pool"),
            models.Index(fields=["-queued_at", "-id"], name="sync_run_recent"),
            models.Index(fields=["pool"], condition=models.Q(state="held"), name="sync_run_held"),
        ]


class InventoryChange(models.Model):
    """One object that a run changed, with the values before and after. A created node carries its device count.

    ``action`` is created, changed, moved, missing, returned, retired, or held (its loss waits for a person).
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    pool_id = models.UUIDField()
    run_id = models.UUIDField()
    object_kind = models.CharField(max_length=8)
    object_id = models.UUIDField()
    object_name = models.CharField(max_length=255)
    action = models.CharField(max_length=8)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "inventory_change"

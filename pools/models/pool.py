"""Pools: what people want of them, how to reach them, and how their synchronisation stands."""

from django.db import models
from django.db.models import Q

from pools.domain import drift, ids, states
from pools.models.columns import not_negative, one_of


class Pool(models.Model):
    """One platform endpoint. Holds what people decide; what the sync finds out is in PoolSync."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=32)
    state = models.CharField(max_length=16, default="registering")
    mode = models.CharField(max_length=32)
    grain = models.CharField(max_length=8)
    region = models.CharField(max_length=63, blank=True, default="")
    labels = models.JSONField(default=dict)
    settings = models.JSONField(default=dict)
    sync_interval_seconds = models.IntegerField(default=60)
    # What is done by itself about targets that differ: report, repair, adopt.
    drift_policy = models.CharField(max_length=8, default="report", db_default="report")
    # Operations that are sent within any minute, at most; null: as many as there are.
    changes_per_minute = models.IntegerField(null=True)
    identity = models.CharField(max_length=255, null=True)  # null until a first check or sync found it
    identity_label = models.CharField(max_length=255, default="")
    version = models.CharField(max_length=100, default="")
    generation = models.BigIntegerField(default=1)
    created_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True)
    draft_expires_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "pool"
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(removed_at=None), name="pool_name_unique"),
            # The same far end may not be registered twice: its capacity would be given out twice.
            models.UniqueConstraint(
                fields=["kind", "identity"],
                condition=Q(removed_at=None) & ~Q(state="registering"),
                name="pool_identity_unique",
            ),
            one_of("state", states.POOL_STATES, "pool_state_known"),
            one_of("grain", states.GRAINS, "pool_grain_known"),
            one_of("drift_policy", drift.POLICIES, "pool_drift_policy_known"),
            models.CheckConstraint(
                condition=Q(sync_interval_seconds__gte=5, sync_interval_seconds__lte=86400), name="pool_interval_range"
            ),
            models.CheckConstraint(
                condition=Q(changes_per_minute=None) | Q(changes_per_minute__gte=1), name="pool_changes_range"
            ),
            models.CheckConstraint(
                condition=Q(state="removed", removed_at__isnull=False) | (~Q(state="removed") & Q(removed_at=None)),
                name="pool_removed_at_matches",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PoolSync(models.Model):
    """How the synchronisation of one pool stands. Changed by every run, so it is no part of the pool's generation.

    ``turn_token`` and ``turn_until`` are the lock of the one run that may merge now; a turn whose time is over is free.
    ``held_run`` is the run whose losses wait for a person, ``unseen`` what the last complete run missed then:
    {"nodes": [id, ...], "devices": [id, ...]}.
    """

    pool = models.OneToOneField(Pool, on_delete=models.PROTECT, primary_key=True, related_name="sync")
    health = models.CharField(max_length=16, default="unknown")
    health_reason = models.CharField(max_length=500, default="")
    observed_at = models.DateTimeField(null=True)  # the last complete observation; all rows of the pool are of then
    next_at = models.DateTimeField(null=True)
    turn_token = models.UUIDField(null=True)
    turn_until = models.DateTimeField(null=True)
    consecutive_failures = models.IntegerField(default=0)
    breaker_open_until = models.DateTimeField(null=True)
    cursor = models.JSONField(null=True)
    last_run = models.ForeignKey("SyncRun", on_delete=models.SET_NULL, null=True, related_name="+")
    held_run = models.ForeignKey("SyncRun", on_delete=models.SET_NULL, null=True, related_name="+")
    unseen = models.JSONField(null=True)
    complete_runs = models.BigIntegerField(default=0)
    telemetry_next_at = models.DateTimeField(null=True)  # never read: at once
    check_state = models.CharField(max_length=8, default="idle")
    check_requested_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    check_result = models.JSONField(null=True)

    class Meta:
        db_table = "pool_sync"
        constraints = [
            one_of("health", states.POOL_HEALTHS, "pool_sync_health_known"),
            one_of("check_state", states.CHECK_STATES, "pool_sync_check_known"),
            not_negative("pool_sync_not_negative", "consecutive_failures", "complete_runs"),
        ]
        indexes = [models.Index(fields=["next_at"], name="pool_sync_next_at")]


class Credential(models.Model):
    """The encrypted secrets of a pool. Write only: nothing reads them but the worker that connects.

    A new one is ``pending`` until a worker saw that the same far end accepts it; only then it replaces the active one.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="credentials")
    state = models.CharField(max_length=8)
    ciphertext = models.BinaryField()
    key_id = models.CharField(max_length=16)
    fields = models.JSONField(default=list)  # names of the secrets that are set, for people
    problem = models.CharField(max_length=500, default="")  # why a pending one was refused
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "credential"
        constraints = [
            one_of("state", states.CREDENTIAL_STATES, "credential_state_known"),
            models.UniqueConstraint(fields=["pool"], condition=Q(state="active"), name="credential_one_active"),
            models.UniqueConstraint(fields=["pool"], condition=Q(state="pending"), name="credential_one_pending"),
        ]

"""Allocations: what was asked, what was decided, what is held of which capacity, and what has to be done for it."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from pools.domain import ids, states
from pools.models.capacity import Capacity
from pools.models.columns import not_negative, one_of
from pools.models.model import ChipModel
from pools.models.node import Node
from pools.models.pool import Pool
from pools.models.project import Project
from pools.models.target import Target


class Allocation(models.Model):
    """A project's request and its whole life. Which states follow which is a trigger (allocation_moves).

    ``spec`` is the request with all its defaults, as ``domain.request`` reads it. ``pool`` to ``milli`` are what was
    decided, null before. ``decision`` has the candidates' digest, the version of the prices, the score and the
    explanation. ``quota_ids`` are the rows whose use counts it, ``units_milli`` what it takes in compute units.
    No foreign keys in the database, as with devices: nothing that it refers to is ever deleted (users are set null by
    the model), and the four look-ups were a fifth of what the database does for a claim.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, related_name="allocations", db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=63, default="")
    state = models.CharField(max_length=16)
    reason = models.CharField(max_length=32, default="")
    mode = models.CharField(max_length=8, default="claim")
    spec = models.JSONField()
    labels = models.JSONField(default=dict)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    pool = models.ForeignKey(
        Pool, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    model = models.ForeignKey(
        ChipModel, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    profile = models.CharField(max_length=63, null=True)
    members = models.IntegerField()
    devices_per_member = models.IntegerField()
    milli = models.BigIntegerField(default=0)  # of devices, all members together
    units_milli = models.BigIntegerField(default=0)
    quota_ids = ArrayField(models.UUIDField(), default=list)
    is_borrowed = models.BooleanField(default=False)
    is_preemptible = models.BooleanField(default=False)
    priority = models.SmallIntegerField(default=50)
    price_per_hour = models.DecimalField(max_digits=18, decimal_places=6, null=True)
    decision = models.JSONField(null=True)
    lease_seconds = models.BigIntegerField(null=True)  # null: open-ended
    start_at = models.DateTimeField(null=True)
    end_at = models.DateTimeField(null=True)
    notice_at = models.DateTimeField(null=True)  # when to tell of the end; null once it was told, or nobody asked
    before_end_state = models.CharField(max_length=16, default="", db_default="")
    held_until_at = models.DateTimeField(null=True)
    queued_at = models.DateTimeField(null=True)
    queue_reason = models.CharField(max_length=32, default="")
    retried_at = models.DateTimeField(null=True)  # what was refused before says nothing any more
    generation = models.BigIntegerField(default=1)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "allocation"
        constraints = [
            one_of("state", states.ALLOCATION_STATES, "allocation_state_known"),
            one_of("mode", states.ALLOCATION_MODES, "allocation_mode_known"),
            one_of("before_end_state", states.BEFORE_END_STATES, "allocation_before_end_known"),
            not_negative("allocation_not_negative", "members", "devices_per_member", "milli", "units_milli"),
            models.CheckConstraint(condition=Q(priority__gte=0, priority__lte=100), name="allocation_priority_range"),
            models.CheckConstraint(
                condition=~Q(state="held") | Q(held_until_at__isnull=False), name="allocation_hold_ends"
            ),
            models.CheckConstraint(
                condition=Q(state__in=states.ALLOCATION_FINAL, ended_at__isnull=False)
                | (~Q(state__in=states.ALLOCATION_FINAL) & Q(ended_at=None)),
                name="allocation_ended_at_matches",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-id"], name="allocation_project"),
            models.Index(fields=["state", "id"], name="allocation_state"),
            models.Index(fields=["pool"], condition=Q(reason__in=states.ALLOCATION_FAULTS), name="allocation_not_well"),
            # What is due: nothing of it is looked for among all that ended.
            models.Index(fields=["held_until_at"], condition=Q(state="held"), name="allocation_hold_due"),
            models.Index(
                fields=["end_at"], condition=Q(end_at__isnull=False, ended_at=None), name="allocation_end_due"
            ),
            models.Index(
                fields=["notice_at"],
                condition=Q(notice_at__isnull=False, ended_at=None),
                name="allocation_notice_due",
            ),
            models.Index(fields=["end_at"], condition=Q(before_end_state="pending"), name="allocation_before_end_due"),
            models.Index(
                fields=["-priority", "is_borrowed", "queued_at", "id"],
                condition=Q(state="queued"),
                name="allocation_queue",
            ),
        ]


class Member(models.Model):
    """One node's share of an allocation; at pool grain its node is null. ``binding`` is the platform's answer.

    ``order_state`` says how its order stands with its target, as of the target's generation ``order_generation``.
    ``trouble`` {code, message, words, class} is why the platform did not take it.
    """

    pk = models.CompositePrimaryKey("allocation_id", "index")
    allocation_id = models.UUIDField()
    index = models.IntegerField()
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    node = models.ForeignKey(
        Node, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    binding = models.JSONField(default=dict)
    target = models.ForeignKey(
        Target, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    order_state = models.CharField(max_length=8, null=True)  # null: nothing was ordered yet
    order_generation = models.BigIntegerField(null=True)
    trouble = models.JSONField(null=True)

    class Meta:
        db_table = "member"
        constraints = [one_of("order_state", states.ORDER_STATES, "member_order_state_known")]
        indexes = [
            models.Index(
                fields=["target"], condition=Q(order_state__in=states.ORDER_PRESENT), name="member_target_present"
            ),
        ]


class Claim(models.Model):
    """What one member takes of one capacity row: ``milli`` and ``memory_mib`` at each of ``positions`` (from 1).

    ``starts`` are the first slots of a profile's pieces, where they lie at fixed places. Never deleted: a claim that
    was given back has ``released_at``, and is what tells whose use a late observation still shows.
    No foreign keys, as with devices: a claim's write is one statement and refers to nothing that is ever deleted.
    The table's key is (allocation, member_index, id): all look for claims by their allocation, nobody by the id alone.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    allocation = models.ForeignKey(
        Allocation, on_delete=models.PROTECT, related_name="claims", db_constraint=False, db_index=False
    )
    member_index = models.IntegerField()
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    capacity = models.ForeignKey(
        Capacity, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    positions = ArrayField(models.IntegerField())
    starts = ArrayField(models.IntegerField(), null=True)
    milli = models.IntegerField()
    memory_mib = models.BigIntegerField()
    profile = models.CharField(max_length=63, null=True)
    is_held = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "claim"
        constraints = [
            not_negative("claim_not_negative", "member_index", "milli", "memory_mib"),
            models.CheckConstraint(condition=Q(positions__len__gte=1), name="claim_takes_something"),
        ]
        indexes = [
            models.Index(fields=["capacity"], condition=Q(released_at=None), name="claim_live"),
        ]


class Operation(models.Model):
    """One intended call on a platform for one target. ``words`` are the platform's own, free of secrets.

    ``target_ref`` is the external name of the member's order (``oc-...``). ``calls`` are the exact calls that were
    sent with the target's ``generation``, ``trouble`` {code, message, words, class} is what went wrong last.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    allocation = models.ForeignKey(
        Allocation, on_delete=models.PROTECT, related_name="operations", db_constraint=False, db_index=False
    )
    member_index = models.IntegerField()
    action = models.CharField(max_length=8)
    state = models.CharField(max_length=9, default="planned")
    target_ref = models.CharField(max_length=255)
    attempts = models.IntegerField(default=0)
    words = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    target = models.ForeignKey(
        Target, on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    generation = models.BigIntegerField(null=True)
    calls = models.JSONField(null=True)
    sent_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    trouble = models.JSONField(null=True)

    class Meta:
        db_table = "operation"
        constraints = [
            one_of("action", states.OPERATION_ACTIONS, "operation_action_known"),
            one_of("state", states.OPERATION_STATES, "operation_state_known"),
        ]
        indexes = [
            models.Index(fields=["allocation", "id"], name="operation_allocation"),
            # Few of all, of which people look for the newest, of a pool or of all.
            models.Index(fields=["id"], condition=~Q(state="confirmed"), name="operation_not_confirmed"),
            models.Index(fields=["target_ref"], condition=Q(action="apply"), name="operation_marker"),
            models.Index(fields=["pool", "sent_at"], condition=Q(sent_at__isnull=False), name="operation_sent"),
        ]


class Booking(models.Model):
    """Capacity promised for a future window, [start_at, end_at): so many milli and MiB at one position.

    ``pieces``: the profiles that are promised on a card, and where each lies.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    capacity = models.ForeignKey(Capacity, on_delete=models.PROTECT, related_name="bookings", db_index=False)
    position = models.IntegerField()
    allocation = models.ForeignKey(Allocation, on_delete=models.CASCADE, related_name="bookings")
    milli = models.IntegerField()
    memory_mib = models.BigIntegerField()
    pieces = models.JSONField(default=list)
    start_at = models.DateTimeField()
    end_at = models.DateTimeField(null=True)  # null: open-ended

    class Meta:
        db_table = "booking"
        constraints = [
            not_negative("booking_not_negative", "milli", "memory_mib"),
            models.CheckConstraint(condition=Q(position__gte=1), name="booking_position"),
            models.CheckConstraint(
                condition=Q(end_at=None) | Q(end_at__gt=models.F("start_at")), name="booking_window"
            ),
            models.UniqueConstraint(fields=["allocation", "capacity", "position"], name="booking_unique"),
        ]
        indexes = [models.Index(fields=["capacity", "position", "start_at"], name="booking_capacity")]

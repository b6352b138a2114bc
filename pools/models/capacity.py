"""Capacity: the rows that claims take from, their sums by pool, and the ledger of what was out of reach when.

One row is one lock unit with N positions: for ``cards`` one position per device of a (node, model), for ``counter``
and ``host`` exactly one. Milli are thousandths of a device, or of a CPU for ``host``; mib is the device's or the
host's memory. The sums and everything ``free`` are derived by a trigger from the positions, so no writer can forget.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from pools.domain import ids, states
from pools.models.columns import not_negative, one_of
from pools.models.model import ChipModel
from pools.models.node import Node
from pools.models.pool import Pool


def _milli() -> "ArrayField[list[int], list[int]]":
    return ArrayField(models.IntegerField(), default=list)


def _mib() -> "ArrayField[list[int], list[int]]":
    return ArrayField(models.BigIntegerField(), default=list)


class Capacity(models.Model):
    """One lock unit. ``is_advisory`` marks node rows of a pool that promises only pool grain: no claim takes from them.

    The sync owns total, shadow and faulty of every position, claims own claimed, held and layout. A position is never
    reused: a device that is gone leaves zeros. ``ceiling_milli`` is greatest(total, claimed + held) at the last sync.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="+", db_index=False)
    # Looked for by (pool, node), as capacity_unique has it: an index by node alone costs each claim a tenth.
    node = models.ForeignKey(Node, on_delete=models.PROTECT, null=True, related_name="capacity", db_index=False)
    kind = models.CharField(max_length=8)
    model = models.ForeignKey(ChipModel, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    profile = models.CharField(max_length=63, null=True)
    resource = models.CharField(max_length=255, default="")  # the platform's name of a counter
    is_advisory = models.BooleanField(default=False)
    unit_milli = models.IntegerField(default=1000)
    units = models.IntegerField(default=0)  # live devices, counted units, or 1 for a host
    uses = models.JSONField(default=list)

    device_ids = ArrayField(models.UUIDField(), default=list)
    pos_total_milli = _milli()
    pos_total_mib = _mib()
    pos_shadow_milli = _milli()
    pos_shadow_mib = _mib()
    pos_faulty_milli = _milli()
    pos_faulty_mib = _mib()
    pos_claimed_milli = _milli()
    pos_claimed_mib = _mib()
    pos_held_milli = _milli()
    pos_held_mib = _mib()
    layout = models.JSONField(default=dict)  # position to the profiles placed there
    pos_link_group = ArrayField(models.CharField(max_length=255), default=list)  # empty text: none is known
    # Of bookings: from when on there is one, and the most that they take together at any moment, without claims.
    pos_booked_from_at = ArrayField(models.DateTimeField(null=True), default=list)
    pos_booked_peak_milli = _milli()
    pos_booked_peak_mib = _mib()

    total_milli = models.BigIntegerField(default=0)
    claimed_milli = models.BigIntegerField(default=0)
    held_milli = models.BigIntegerField(default=0)
    shadow_milli = models.BigIntegerField(default=0)
    faulty_milli = models.BigIntegerField(default=0)
    free_milli = models.BigIntegerField(default=0)
    free_mib = models.BigIntegerField(default=0)
    free_whole = models.IntegerField(default=0)
    max_free_milli = models.IntegerField(default=0)
    # Equal for rows of a model whose free devices look alike; grows with free_whole. See capacity_derive.
    state_key = models.BigIntegerField(default=0)
    # A number by chance, so that claims at the same moment begin at different rows of the same state.
    shuffle = models.IntegerField(default=0)
    ceiling_milli = models.BigIntegerField(default=0)

    class Meta:
        db_table = "capacity"
        constraints = [
            models.UniqueConstraint(
                fields=["pool", "node", "kind", "model", "profile", "resource"],
                name="capacity_unique",
                nulls_distinct=False,
            ),
            one_of("kind", states.CAPACITY_KINDS, "capacity_kind_known"),
            not_negative("capacity_not_negative", "units", "claimed_milli", "held_milli", "shadow_milli"),
            models.CheckConstraint(
                condition=Q(ceiling_milli__gte=F("claimed_milli") + F("held_milli")), name="capacity_not_overbooked"
            ),
        ]
        indexes = [
            # Where candidates are looked for: the states of a model's rows, and in each a row by chance.
            models.Index(
                fields=["pool", "model", "state_key", "shuffle"], condition=Q(free_milli__gt=0), name="capacity_free"
            ),
        ]


class CapacityRollup(models.Model):
    """Sums of capacity rows by pool, kind, model and profile, kept by a trigger in the statement that changes the rows.

    The states are columns, not rows: total = claimed + held + shadow + faulty + free wherever nothing is overcommitted.
    ``units`` is the number of live devices (``cards``), counted units (``counter``) or live nodes (``host``).
    """

    id = models.BigAutoField(primary_key=True)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="rollups")
    kind = models.CharField(max_length=8)
    model = models.ForeignKey(ChipModel, on_delete=models.PROTECT, null=True, related_name="+")
    profile = models.CharField(max_length=63, null=True)
    is_advisory = models.BooleanField(default=False)
    units = models.BigIntegerField(default=0)
    total_milli = models.BigIntegerField(default=0)
    claimed_milli = models.BigIntegerField(default=0)
    held_milli = models.BigIntegerField(default=0)
    shadow_milli = models.BigIntegerField(default=0)
    faulty_milli = models.BigIntegerField(default=0)
    free_milli = models.BigIntegerField(default=0)
    free_mib = models.BigIntegerField(default=0)
    free_whole = models.BigIntegerField(default=0)

    class Meta:
        db_table = "capacity_rollup"
        constraints = [
            models.UniqueConstraint(
                fields=["pool", "kind", "model", "profile", "is_advisory"],
                name="capacity_rollup_unique",
                nulls_distinct=False,
            )
        ]


class LedgerEvent(models.Model):
    """From this instant this much of a capacity row was of this kind; zero closes it. Rows are only added.

    Shadow and faulty are of the row as a whole. Hold, reserve and use are of one member of one allocation, at the rate
    of ``price_per_hour`` for all of it; a new rate is a new row. ``corrects`` is the id of a row that was wrong.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    pool_id = models.UUIDField()
    capacity_id = models.UUIDField()
    kind = models.CharField(max_length=8)
    milli = models.BigIntegerField()
    run_id = models.UUIDField(null=True)
    allocation_id = models.UUIDField(null=True)
    member_index = models.IntegerField(null=True)
    project_id = models.UUIDField(null=True)
    positions = ArrayField(models.IntegerField(), null=True)
    certainty = models.CharField(max_length=8, null=True)  # assigned, observed, unknown
    price_per_hour = models.DecimalField(max_digits=18, decimal_places=6, null=True)
    corrects = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "ledger_event"

"""Accelerators of nodes, and the same hardware seen in two pools."""

from django.db import models
from django.db.models import Q

from pools.domain import ids, states
from pools.models.columns import not_negative, one_of
from pools.models.model import ChipModel
from pools.models.node import Node
from pools.models.pool import Pool


class Device(models.Model):
    """An accelerator as it was last observed. Written by the sync only; what claims hold is in the capacity row.

    ``capacity`` and ``position`` say where in the capacity row of (node, model) it is counted. ``shadow_milli`` and
    ``shadow_mib`` are observed use that no claim explains, ``own_milli`` and ``own_mib`` what claims do. ``uses`` is a
    list of {holder, milli, memory_mib, marker}.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    # No foreign keys in the database: the sync is the only writer, nothing it refers to is ever deleted, and each key
    # would cost a look-up for every row (half a CPU second for a first sync of 40,000 devices).
    pool = models.ForeignKey(
        Pool, on_delete=models.PROTECT, related_name="devices", db_constraint=False, db_index=False
    )
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="devices", db_constraint=False)
    ref = models.CharField(max_length=255)
    index = models.IntegerField(null=True)
    vendor = models.CharField(max_length=63, default="")
    model = models.ForeignKey(
        ChipModel, on_delete=models.PROTECT, null=True, related_name="devices", db_constraint=False, db_index=False
    )
    model_text = models.CharField(max_length=255, default="")
    profile = models.CharField(max_length=63, null=True)
    uuid = models.CharField(max_length=255, null=True)
    serial = models.CharField(max_length=255, null=True)
    pci_id = models.CharField(max_length=16, null=True)
    pci_address = models.CharField(max_length=32, null=True)
    memory_mib = models.IntegerField(default=0)
    total_milli = models.IntegerField(default=1000)
    shadow_milli = models.IntegerField(default=0)
    shadow_mib = models.IntegerField(default=0)
    own_milli = models.IntegerField(default=0, db_default=0)
    own_mib = models.IntegerField(default=0, db_default=0)
    health = models.CharField(max_length=8, default="ok")
    health_reason = models.CharField(max_length=500, default="")
    link_group = models.CharField(max_length=255, null=True)
    numa_node = models.IntegerField(null=True)
    uses = models.JSONField(default=list)
    attributes = models.JSONField(default=dict)
    is_elsewhere = models.BooleanField(default=False, db_default=False)  # another pool gives it out, see services.twins
    capacity = models.ForeignKey(
        "Capacity", on_delete=models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    position = models.IntegerField(null=True)
    missing_since = models.DateTimeField(null=True)
    misses = models.SmallIntegerField(default=0)
    retired_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "device"
        constraints = [
            # Also of retired ones: a card that comes back is the same row. The uuid first, to find it in other pools.
            models.UniqueConstraint(
                fields=["uuid", "pool"],
                opclasses=["varchar_pattern_ops", "uuid_ops"],  # its beginning is looked for, whatever the collation
                condition=Q(uuid__isnull=False),
                name="device_uuid_unique",
            ),
            models.UniqueConstraint(
                fields=["pool", "serial", "profile"],
                condition=Q(retired_at=None, serial__isnull=False, uuid=None),
                name="device_serial_unique",
                nulls_distinct=False,
            ),
            models.UniqueConstraint(
                fields=["node", "ref"],
                condition=Q(retired_at=None, uuid=None, serial=None),
                name="device_ref_unique",
            ),
            one_of("health", states.DEVICE_HEALTHS, "device_health_known"),
            not_negative("device_not_negative", "memory_mib", "total_milli", "shadow_milli", "shadow_mib", "misses"),
        ]
        indexes = [
            models.Index(fields=["pool", "id"], condition=Q(retired_at=None), name="device_pool"),
            models.Index(
                fields=["serial"],
                opclasses=["varchar_pattern_ops"],  # its beginning is looked for too, whatever the collation
                condition=Q(serial__isnull=False),
                name="device_serial",
            ),
            # The rare conditions, in the order of the list (selectors.device_keys).
            *(
                models.Index(fields=["pool", "node", "id"], condition=condition, name=f"device_{name}")
                for name, condition in (
                    ("retired", Q(retired_at__isnull=False)),
                    ("missing", Q(missing_since__isnull=False, retired_at=None)),
                    ("faulty", Q(health="faulty", retired_at=None)),
                    ("unknown", Q(health="unknown", retired_at=None)),
                    ("cut", Q(total_milli=0, retired_at=None)),
                    ("elsewhere", Q(is_elsewhere=True, retired_at=None)),
                )
            ),
        ]


class DeviceTwin(models.Model):
    """The same hardware seen in two pools, of which one gives it out: an operator may say that it is the other.

    ``device`` has the smaller id of the two, so a pair has one row.
    """

    id = models.BigAutoField(primary_key=True)
    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="+")
    other = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="+")
    found_at = models.DateTimeField()

    class Meta:
        db_table = "device_twin"
        constraints = [models.UniqueConstraint(fields=["device", "other"], name="device_twin_unique")]

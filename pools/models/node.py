"""Hosts of pools."""

from django.db import models
from django.db.models import Q

from pools.domain import ids
from pools.models.columns import not_negative
from pools.models.pool import Pool


class Node(models.Model):
    """A host as it was last observed. Written by the sync only.

    ``fingerprint`` covers the node, its devices and their use: equal means that nothing has to be written.
    ``misses`` counts complete observations that did not show it. ``loss_accepted``: a person approved its loss.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="nodes", db_index=False)
    ref = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    uuid = models.CharField(max_length=255, null=True)
    serial = models.CharField(max_length=255, null=True)
    topology = models.JSONField(default=dict)
    topology_path = models.CharField(max_length=500, default="")
    labels = models.JSONField(default=dict)
    cpu_milli = models.BigIntegerField(default=0)
    memory_mib = models.BigIntegerField(default=0)
    cpu_used_milli = models.BigIntegerField(default=0)
    memory_used_mib = models.BigIntegerField(default=0)
    device_count = models.IntegerField(default=0)
    is_available = models.BooleanField(default=True)
    unavailable_reason = models.CharField(max_length=500, default="")
    unknown_resources = models.JSONField(default=dict)  # resource name to units: shown, never counted
    fingerprint = models.BigIntegerField()
    missing_since = models.DateTimeField(null=True)
    misses = models.SmallIntegerField(default=0)
    loss_accepted = models.BooleanField(default=False)
    retired_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "node"
        constraints = [
            models.UniqueConstraint(fields=["pool", "ref"], condition=Q(retired_at=None), name="node_ref_unique"),
            not_negative(
                "node_not_negative",
                "cpu_milli",
                "memory_mib",
                "cpu_used_milli",
                "memory_used_mib",
                "device_count",
                "misses",
            ),
        ]
        indexes = [
            models.Index(fields=["pool", "name", "id"], name="node_pool_name"),
            models.Index(fields=["name", "id"], name="node_name"),
            # In the order of the list of devices (selectors.device_keys).
            *(
                models.Index(fields=["pool", "id"], condition=condition, name=f"node_{name}")
                for name, condition in (
                    ("live", Q(retired_at=None)),
                    ("retired", Q(retired_at__isnull=False)),
                    ("missing", Q(missing_since__isnull=False, retired_at=None)),
                    ("unavailable", Q(is_available=False, retired_at=None)),
                )
            ),
        ]

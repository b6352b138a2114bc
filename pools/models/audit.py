"""What people and programs did."""

from django.db import models


class AuditEvent(models.Model):
    """One write, by whom, in which request, with what it changed. Only ever added; holds no secret.

    The table also has ``xid`` (the transaction that wrote the row), which the sealer needs and nobody else reads.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=255)
    request_id = models.CharField(max_length=64, default="")
    action = models.CharField(max_length=64)
    object_kind = models.CharField(max_length=32)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(max_length=255, default="")
    reason = models.CharField(max_length=500, default="")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "audit_event"

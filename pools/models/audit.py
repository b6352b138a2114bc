"""What people and programs did."""

from django.db import models


class AuditEvent(models.Model):
    """One write, by whom, in which request, with what it changed. Only ever added; holds no secret.

    ``project_id`` is the project it belongs to, for those who may read its history; null: only the platform's roles.
    ``token_prefix`` tells which of the actor's tokens it came with, empty for a log-in.

    The table also has ``xid`` (the transaction that wrote the row), which the sealer needs and nobody else reads.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=255)
    actor_id = models.UUIDField(null=True)
    token_prefix = models.CharField(max_length=16, default="")
    project_id = models.UUIDField(null=True)
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

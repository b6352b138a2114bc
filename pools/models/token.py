"""What programs come with: bearer tokens, and keys that make a repeated request harmless."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from pools.domain import ids


class ApiToken(models.Model):
    """A token's hash and limits. The secret is shown once when it is made and stored nowhere."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    hash = models.BinaryField(max_length=32, unique=True)
    scope = models.JSONField(default=dict)  # domain.scopes; empty: all that the user may
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    rotated_to = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        db_table = "api_token"


class IdempotencyKey(models.Model):
    """The answer to a write that came with an ``Idempotency-Key``, committed with the write itself.

    ``body`` is null when the answer was longer than is kept; ``object_ids`` then tell what was made. Without ``status``
    it is a write that commits in pieces and is not done: ``object_ids`` are those that it makes.
    """

    id = models.BigAutoField(primary_key=True)
    # Looked for by (user, key), as idempotency_key_unique has it.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(max_length=32)  # of method, address and body
    status = models.SmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)
    object_ids = ArrayField(models.UUIDField(), default=list)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "idempotency_key"
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_unique")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_created_at")]

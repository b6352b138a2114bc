"""Bearer tokens of the administrator. Scopes, service accounts and rotation come with the access core."""

from django.conf import settings
from django.db import models

from pools.domain import ids


class ApiToken(models.Model):
    """A token's hash. The secret is shown once when it is made and stored nowhere."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    hash = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_token"

"""The one Django app."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from pools.selectors import prepared


class PoolsConfig(AppConfig):
    name = "pools"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let every connection prepare the statements of claims."""
        connection_created.connect(prepared.begin, dispatch_uid="prepared")

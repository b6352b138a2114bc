"""Wiring that every Django process needs."""

from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class OcenterConfig(AppConfig):
    name = "ocenter"

    def ready(self) -> None:
        # So that tasks sent from here go to our broker and not to Celery's default one.
        import_module("ocenter.celery")
        post_migrate.connect(_grant, sender=apps.get_app_config("pools"))


def _grant(*, using: str, **_signal: Any) -> None:
    import_module("ocenter.roles").grant(using=using)

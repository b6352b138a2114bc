"""Wiring that every Django process needs."""

from importlib import import_module

from django.apps import AppConfig


class OcenterConfig(AppConfig):
    name = "ocenter"

    def ready(self) -> None:
        # So that tasks sent from here go to our broker and not to Celery's default one.
        import_module("ocenter.celery")

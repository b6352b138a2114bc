"""`manage.py rotate-key`: encrypt all stored credentials with the first key, so that older keys may go."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from pools.management.commands import _edge
from pools.services import credentials, second_factors


class Command(BaseCommand):
    help = (
        "Encrypt every pool's credential and every second factor with the first key of OCENTER_CREDENTIAL_KEYS. "
        "Put a new key in front, restart, run this, then remove the old one."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        with _edge.refusals():
            count = credentials.rotate(timezone.now(), _edge.actor())
            second_factors.rotate()
        self.stdout.write(f"{count} credentials were encrypted with the first key; the other keys may go.")

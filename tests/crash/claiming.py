"""Asks for devices and gives them back until it is killed: `python -m tests.crash.claiming PROJECT_ID SEED`."""

import random
import sys
from typing import Any
from uuid import UUID

import django


def main(project_id: str, seed: str) -> None:
    """Live for a hundred requests, each a batch of some; print a line for each that was answered."""
    django.setup()
    from django.utils import timezone

    from pools.domain.actors import SYSTEM
    from pools.models import Project
    from pools.services import allocations, claims
    from pools.services.claims import Made
    from tests.services.asking import asked

    dice = random.Random(int(seed))
    project = Project.objects.get(id=UUID(project_id))
    mine: list[UUID] = []
    for _ in range(100):
        fields: dict[str, Any] = {"mode": "hold", "hold_seconds": 3600} if dice.random() < 0.3 else {}
        batch = [asked(project, dice.choice((1, 2)), **fields) for _ in range(dice.choice((1, 1, 3)))]
        mine += [each.allocation_id for each in claims.submit(batch, now=timezone.now()) if isinstance(each, Made)]
        print("answered", flush=True)
        while mine and dice.random() < 0.6:
            which = mine.pop(dice.randrange(len(mine)))
            act = allocations.confirm if fields and dice.random() < 0.3 else allocations.release
            act(allocation_id=which, actor=SYSTEM, now=timezone.now())


if __name__ == "__main__":
    main(*sys.argv[1:])

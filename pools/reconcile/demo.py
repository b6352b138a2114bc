"""The demo fleet: four simulated pools with the character of the four platforms, trouble included."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from connectors import demo
from connectors.demo import DemoPool
from pools.domain.actors import SYSTEM
from pools.reconcile import checks, inventory
from pools.selectors import due
from pools.services import pools

LABEL: Final = {"demo": "true"}


def ensure(*, home: Path, clock: Callable[[], datetime]) -> list[str]:
    """Register, check, activate and first observe the pools of the demo that are not there; return their names.

    Their state lies in ``home``/demo and lasts, so that a second start goes on with the same fleet.
    """
    folder = _folder(home)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = due.pool_names()
    made = [wanted for wanted in demo.prepare(str(folder)) if wanted.name not in there]
    for wanted in made:
        _make(wanted, clock)
    return [wanted.name for wanted in made]


def remove(*, home: Path, clock: Callable[[], datetime]) -> list[str]:
    """Remove the pools of the demo and the state of their fleets, and nothing else; return their names.

    Raises PoolInUse when somebody still holds capacity of one.
    """
    folder = _folder(home)
    ours = {wanted.name for wanted in demo.pools(str(folder))}
    found = due.pool_names(labels=LABEL)
    for name, pool_id in found.items():
        if name in ours:
            pools.remove(pool_id=pool_id, actor=SYSTEM, now=clock())
    demo.forget(str(folder))
    return sorted(ours & found.keys())


def _make(wanted: DemoPool, clock: Callable[[], datetime]) -> None:
    pool = pools.register(
        name=wanted.name,
        kind=demo.KIND,
        settings=wanted.settings,
        credential=wanted.credential,
        region=wanted.region,
        labels=LABEL,
        actor=SYSTEM,
        now=clock(),
    )
    checks.run(pool_id=pool.id, clock=clock)
    pools.activate(pool_id=pool.id, actor=SYSTEM, now=clock())
    inventory.run(pool_id=pool.id, clock=clock)


def _folder(home: Path) -> Path:
    return home / "demo"

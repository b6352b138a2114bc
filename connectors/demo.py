"""The demo fleet: four simulated pools with the character of the four platforms, trouble included."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from connectors.simulated.state import Knobs, Store

KIND = "simulated"
CHURN_SECONDS = 120


class DemoPool(Struct, frozen=True, kw_only=True):
    """A pool to be registered. ``trouble`` says for a person what is wrong with it."""

    name: str
    region: str
    settings: dict[str, Any]
    credential: dict[str, str]
    trouble: str
    knobs: Knobs


def pools(state_folder: str) -> tuple[DemoPool, ...]:
    """Return the pools of the demo, whose state is kept in an existing folder."""
    return (
        _pool(
            "demo-kubernetes",
            "cn-east-1",
            state_folder,
            {"nodes": 32, "devices_per_node": 8, "used_percent": 55},
            "slices that are only counted, a chip that no catalogue has, users who come and go",
            Knobs(churn_seconds=CHURN_SECONDS),
        ),
        _pool(
            "demo-openstack",
            "RegionOne",
            state_folder,
            {"nodes": 24, "devices_per_node": 4, "used_percent": 40},
            "the account may not create anything yet",
            Knobs(missing_manage=("placement:allocations:manage",), churn_seconds=CHURN_SECONDS),
        ),
        _pool(
            "demo-vsphere",
            "Frankfurt",
            state_folder,
            {"nodes": 14, "devices_per_node": 4, "used_percent": 60},
            "unreachable after its first syncs: its numbers grow old",
            Knobs(unreachable_after_observations=3),
        ),
        _pool(
            "demo-baremetal",
            "cn-north-2",
            state_folder,
            {"nodes": 24, "devices_per_node": 8, "used_percent": 35},
            "faulty cards, a slow network, a clock that is ahead",
            Knobs(latency_ms=300, clock_ahead_seconds=95, churn_seconds=CHURN_SECONDS),
        ),
    )


def prepare(state_folder: str) -> tuple[DemoPool, ...]:
    """Give each pool its trouble, once: what a person changed in a state stays. Returns the pools."""
    found = pools(state_folder)
    for pool in found:
        store = Store(state_folder, pool.settings["fleet"])
        if not store.exists:
            with store.changing() as state:
                state.knobs = pool.knobs
    return found


def forget(state_folder: str) -> None:
    """Remove the states of the demo's fleets, and nothing else."""
    for pool in pools(state_folder):
        for suffix in ("json", "lock"):
            Path(state_folder, f"{pool.settings['fleet']}.{suffix}").unlink(missing_ok=True)


def _pool(name: str, region: str, state_folder: str, size: dict[str, int], trouble: str, knobs: Knobs) -> DemoPool:
    settings = {
        **size,
        "fleet": name,
        "character": name.removeprefix("demo-"),
        "has_trouble": True,
        "state_folder": state_folder,
    }
    return DemoPool(
        name=name,
        region=region,
        settings=settings,
        credential={"token": f"token-of-{name}"},
        trouble=trouble,
        knobs=knobs,
    )

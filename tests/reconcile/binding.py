"""A simulated pool whose platform has to answer before anything is had, and a project that asks for it."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from connectors.simulated.state import TargetState
from pools.domain.request import Choice
from pools.models import Allocation, Capacity, ChipModel, Claim, LedgerEvent, Member, PoolSync, Target
from pools.reconcile import allocations, targets
from pools.services import allocations as services
from pools.services import claims
from tests.factories import ALICE, granted, project
from tests.reconcile.far_end import Simulation
from tests.services.asking import PLENTY, asked, quota


class Lab:
    """One pool of H100s, observed, and a project with plenty of quota. ``store`` is what the platform remembers."""

    def __init__(
        self, folder: Path, clock: Callable[[], datetime], *, mode: str | None = None, name: str = "lab", **more: Any
    ) -> None:
        given: dict[str, Any] = {"nodes": 2, "devices_per_node": 4, "models": "NVIDIA H100 80GB HBM3", "latency_ms": 1}
        given |= more
        self.clock = clock
        self.simulation = Simulation(folder, clock, name, mode=mode, **given)
        self.pool, self.store = self.simulation.pool, self.simulation.store
        run = self.simulation.run_if_due()
        assert run is not None and run.state == "succeeded", run
        self.project = project("acme/vision")
        granted(self.pool, self.project)
        self.model = ChipModel.objects.filter(devices__pool=self.pool).distinct().get()
        above = quota(self.project.parent, self.model, PLENTY)
        self.quota = quota(self.project, self.model, PLENTY, above)

    def ask(self, devices: int = 1, **fields: Any) -> UUID:
        """Claim devices; return the id of the allocation."""
        PoolSync.objects.update(health="online", observed_at=self.clock())
        request = asked(self.project, devices, any_of=(Choice(model=self.model.slug),), **fields)
        (answer,) = claims.submit([request], now=self.clock())
        assert isinstance(answer, claims.Made), answer
        return answer.allocation_id

    def release(self, allocation_id: UUID) -> None:
        services.release(allocation_id=allocation_id, actor=ALICE, now=self.clock())

    def advance(self) -> None:
        """What the hints of one change lead to: orders, one run of the pool's targets, outcomes."""
        allocations.advance(clock=self.clock)
        targets.run(pool_id=self.pool.id, clock=self.clock)
        allocations.advance(clock=self.clock)

    def one_turn(self) -> None:
        """The same with a single turn of one target."""
        allocations.advance(clock=self.clock)
        taken = iter((False, True))
        targets.run(pool_id=self.pool.id, clock=self.clock, should_stop=lambda: next(taken))
        allocations.advance(clock=self.clock)

    def state(self, allocation_id: UUID) -> str:
        return Allocation.objects.get(id=allocation_id).state

    def target(self) -> Target:
        return Target.objects.get()

    def there(self) -> dict[str, TargetState]:
        """What the platform carries, by the names of its targets."""
        return self.store.read().targets

    def orders_there(self) -> list[str]:
        """The allocations that the platform carries, once for each order."""
        return sorted(order.allocation for target in self.there().values() for order in target.orders.values())

    def check(self) -> None:
        """Platform, claims, capacity, quota and ledger say the same."""
        check(self)


def check(lab: Lab) -> None:
    live = Claim.objects.filter(released_at=None)
    carried = Member.objects.filter(order_state="carried")
    assert lab.orders_there() == sorted(str(member.allocation_id) for member in carried), "0 orphans, 0 lost, 0 doubles"
    claimed = sum(claim.milli * len(claim.positions) for claim in live)
    lab.quota.refresh_from_db()
    assert lab.quota.used_milli == claimed
    assert sum(row.claimed_milli for row in Capacity.objects.filter(kind="cards")) == claimed
    check_ledger(lab.pool.id)


def check_ledger(pool_id: UUID) -> None:
    """Of each allocation one kind is open at a time, and none of those that ended."""
    open_kinds: dict[tuple[Any, ...], set[str]] = {}
    for event in LedgerEvent.objects.filter(pool_id=pool_id, allocation_id__isnull=False).order_by("id"):
        kinds = open_kinds.setdefault((event.allocation_id, event.member_index, event.capacity_id), set())
        if event.milli:
            assert not kinds, f"{event.kind} begins while {kinds} lasts"
            kinds.add(event.kind)
        else:
            assert kinds == {event.kind}, f"{event.kind} ends, and it is {kinds}"
            kinds.clear()
    counts: dict[UUID, int] = {}
    for (allocation_id, _, _), kinds in open_kinds.items():
        counts[allocation_id] = counts.get(allocation_id, 0) + len(kinds)
    for found in Allocation.objects.filter(id__in=counts):
        live = Claim.objects.filter(allocation=found, released_at=None).count()
        assert counts[found.id] == live, (found.state, counts[found.id])

"""A pool of a real platform and a tenant that asks for what it has: people speak REST, workers take turns here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.utils import timezone

from pools.models import (
    Allocation,
    Capacity,
    Claim,
    Delivery,
    Drift,
    LedgerEvent,
    Operation,
    Orphan,
    Quota,
    Target,
    User,
)
from pools.reconcile import allocations, checks, inventory, sweep, targets
from pools.services import bootstrap
from tests.api.tenants import caller
from tests.factories import person
from tests.life.platform import Given, Platform, Shape
from tests.reconcile.binding import check_ledger
from tests.reconcile.invariants import check_sums

PLENTY_MILLI = 10**9
PATIENCE_SECONDS = 180
LEASE_SECONDS = 3600


class Tenant:
    """An operator adds the platform as a pool, and grants it to a project of its own; an engineer of that asks."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.project = f"{platform.name}/vision"
        bootstrap.load_catalogue()
        self.operator = caller(_person("olga", "admin"))
        self.engineer = caller(_person("ed"))
        self.pool_id = self._add_pool()
        self._let_in()

    # --- what people do -----------------------------------------------------------------------------------------------

    def ask(self, shape: Shape) -> str:
        """Ask for a shape and return the id of the allocation."""
        body = {"project": self.project, "name": "walk", "lease_seconds": LEASE_SECONDS, **shape.body}
        fits = done(self.engineer.post("/what-if", body))
        assert fits["fits"], fits
        made = done(self.engineer.post("/allocations", body), 201)
        assert made["state"] == "claimed" and made["pool"] == self.platform.name, made
        return str(made["id"])

    def given(self, id: str, shape: Shape) -> Given:
        """Reveal what was handed over."""
        revealed = done(self.engineer.post(f"/allocations/{id}/delivery/reveal"))
        allocation = self.allocation(id)
        devices = [device["id"] for member in allocation["members"] for device in member["devices"]]
        return Given(
            shape=shape,
            allocation=allocation,
            deliveries=revealed["deliveries"],
            devices=[done(self.operator.get(f"/devices/{device}")) for device in devices],
        )

    def release(self, id: str) -> None:
        done(self.engineer.post(f"/allocations/{id}/release"), 202)

    def allocation(self, id: str) -> Any:
        return done(self.engineer.get(f"/allocations/{id}"))

    def state(self, id: str) -> str:
        return str(self.allocation(id)["state"])

    def operations(self, id: str) -> list[Any]:
        found: list[Any] = done(self.operator.get(f"/allocations/{id}/operations"))["results"]
        return found

    def _add_pool(self) -> UUID:
        platform = self.platform
        body = {
            "name": platform.name,
            "kind": platform.kind,
            "mode": platform.mode,
            "settings": platform.settings,
            "credential": platform.credential,
        }
        pool_id = UUID(done(self.operator.post("/pools", body), 201)["id"])
        checks.run(pool_id=pool_id, clock=timezone.now)
        found = done(self.operator.get(f"/pools/{pool_id}/check"))
        assert found["reachable"] and found["watch"]["ok"], found
        done(self.operator.post(f"/pools/{pool_id}/activate"))
        inventory.run(pool_id=pool_id, clock=timezone.now)
        run = done(self.operator.get(f"/pools/{pool_id}"))["last_sync_run"]
        assert run["state"] == "succeeded" and run["complete"], run
        return pool_id

    def _let_in(self) -> None:
        name = self.platform.name
        done(self.operator.post("/projects", {"name": name}), 201)
        done(self.operator.post("/projects", {"name": "vision", "parent": name}), 201)
        for project in (name, self.project):
            row = {"model": None, "nominal_milli": PLENTY_MILLI}
            done(self.operator("PUT", f"/projects/{project}/quotas", [row]))
        member = {"user": "ed", "role": "member"}
        done(self.operator.post(f"/projects/{self.project}/members", member), 201)
        done(self.operator("PUT", f"/pools/{name}/grants", [self.project]))

    # --- what workers do ----------------------------------------------------------------------------------------------

    def work(self) -> None:
        """One sweep, and what its hints and those of the changes lead to."""
        sweep.sweep(clock=timezone.now)
        allocations.advance(clock=timezone.now)
        targets.run(pool_id=self.pool_id, clock=timezone.now)
        allocations.advance(clock=timezone.now)

    def observe(self) -> None:
        """Look at the whole platform now."""
        done(self.operator.post(f"/pools/{self.pool_id}/sync"), 202)
        inventory.run(pool_id=self.pool_id, clock=timezone.now)
        run = done(self.operator.get(f"/pools/{self.pool_id}"))["last_sync_run"]
        assert run["state"] == "succeeded" and run["complete"], run

    def work_until(self, is_done: Callable[[], bool], id: str) -> None:
        """Let workers take their turns as they become due. Fails when the platform refuses, or takes too long."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not is_done():
            assert time.monotonic() < give_up_at, (self.allocation(id), self.operations(id))
            self.work()
            found = self.allocation(id)
            assert found["state"] != "needs_attention", (found["reason"], self.operations(id))
            if not is_done():
                time.sleep(0.2)

    def bind(self, id: str) -> None:
        """Work until the tenant has it and everything to use it."""
        self.work_until(lambda: self.state(id) == "active" and _is_handed_over(id), id)

    def end(self, id: str) -> None:
        """Release it, and work until the platform confirmed that it is gone."""
        self.release(id)
        self.work_until(lambda: self.state(id) == "released", id)

    # --- what must hold -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Claims, capacity, quotas and ledger say the same."""
        check_sums(self.pool_id)
        check_ledger(self.pool_id)
        live = Claim.objects.filter(pool_id=self.pool_id, released_at=None).exclude(capacity__kind="host")
        claimed = sum(claim.milli * len(claim.positions) for claim in live)
        rows = Capacity.objects.filter(pool_id=self.pool_id, is_advisory=False).exclude(kind="host")
        assert sum(row.claimed_milli for row in rows) == claimed

    def check_nothing_left(self) -> None:
        """Nothing of what was asked for holds anything, is to be done, or was found again by a look at all."""
        self.observe()
        self.check()
        assert not Allocation.objects.filter(pool_id=self.pool_id).exclude(state="released").exists()
        assert not Claim.objects.filter(pool_id=self.pool_id, released_at=None).exists()
        assert not Delivery.objects.filter(pool_id=self.pool_id).exists()
        assert not Target.objects.filter(pool_id=self.pool_id, due_at__isnull=False).exists()
        assert not Orphan.objects.filter(pool_id=self.pool_id).exists()
        assert not Drift.objects.filter(pool_id=self.pool_id).exists()
        assert not Quota.objects.exclude(used_milli=0).exists()
        ends = set(Operation.objects.filter(pool_id=self.pool_id).values_list("state", "trouble__class"))
        assert ends <= {("confirmed", None), ("failed", "no_capacity")}, ends
        assert sum(row.claimed_milli + row.held_milli for row in Capacity.objects.filter(pool_id=self.pool_id)) == 0
        uses = LedgerEvent.objects.filter(pool_id=self.pool_id, kind="use")
        assert uses.filter(milli__gt=0).count() == uses.filter(milli=0).count() > 0

    def remove_pool(self) -> None:
        """Take the platform out of ocenter, which touches nothing on it."""
        done(self.operator("DELETE", f"/pools/{self.pool_id}"), 200, 202, 204)


@contextmanager
def tenant_of(platform: Platform) -> Iterator[Tenant]:
    """Yield a tenant of the platform; its pool is removed at the end."""
    tenant = Tenant(platform)
    yield tenant
    tenant.remove_pool()


def done(answer: Any, *statuses: int) -> Any:
    """Return the body of an answer that is what was expected, 200 by default."""
    assert answer.status_code in (statuses or (200,)), (answer.status_code, answer.data)
    return answer.data


def _is_handed_over(id: str) -> bool:
    return not Delivery.objects.filter(allocation_id=id, made_at=None).exists()


def _person(name: str, *roles: str) -> User:
    return User.objects.filter(username=name).first() or person(name, *roles)

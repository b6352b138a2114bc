"""Things that tests need to be there."""

from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import (
    Absent,
    Check,
    Connector,
    DeviceFact,
    Done,
    Identity,
    Last,
    NodeFact,
    Page,
    Plan,
    Tier,
    UseFact,
)
from pools.domain import access, ids
from pools.domain.actors import Actor
from pools.models import Pool, PoolGrant, PoolSync, Project, RoleBinding, SyncRun, User
from pools.services import turns

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


class Clock:
    """Tells a time that only moves when a test moves it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


EVERYTHING = access.SYSTEM
ALICE = Actor(name="alice", request_id="req-1", access=EVERYTHING)
"""Somebody who may do everything."""


def person(username: str, *roles: str, password: str | None = None, **fields: Any) -> User:
    """A user with these roles on the platform; without a password, for hashing takes its time."""
    made = User.objects.create_user(username, password=password, **fields)
    for role in roles:
        RoleBinding.objects.create(user=made, role=role, created_at=NOW)
    return made


def project(path: str, **members: User) -> Project:
    """The project of a path, made with those above it where they are missing; ``members`` are users by role."""
    above = None
    for depth, name in enumerate(path.split("/")):
        here = "/".join(path.split("/")[: depth + 1])
        found = Project.objects.filter(path=here).first()
        if found is None:
            new_id = ids.new_id()
            lineage = [*(above.lineage if above else ()), new_id]
            found = Project.objects.create(
                id=new_id, name=name, parent=above, lineage=lineage, path=here, created_at=NOW
            )
        above = found
    assert above is not None
    for role, user in members.items():
        RoleBinding.objects.create(user=user, project=above, role=role, created_at=NOW)
    return above


def granted(pool: Pool, *projects: Project) -> Pool:
    """The pool, which the projects may now use."""
    for each in projects:
        PoolGrant.objects.create(pool=pool, project=each, created_at=NOW)
    return pool


def pool(name: str = "lab", **fields: Any) -> Pool:
    """An active pool that is due."""
    defaults: dict[str, Any] = {
        "kind": "simulated",
        "state": "active",
        "mode": "device",
        "grain": "device",
        "identity": f"far-end-{name}",
        "created_at": NOW,
    }
    made = Pool.objects.create(name=name, **(defaults | fields))
    PoolSync.objects.create(pool=made, next_at=NOW)
    return made


def device(ref: str, **fields: Any) -> DeviceFact:
    """An H100 whose uuid follows from its name, unless said otherwise."""
    defaults: dict[str, Any] = {
        "ref": ref,
        "vendor": "nvidia",
        "model": "NVIDIA H100 80GB HBM3",
        "pci_id": "10de:2330",
        "uuid": f"GPU-{ref}",
        "memory_mib": 81559,
    }
    return DeviceFact(**(defaults | fields))


def node(name: str, *, devices: int = 2, **fields: Any) -> NodeFact:
    """A node with H100s named after it."""
    return holding(name, *[device(f"{name}-{i}", index=i) for i in range(devices)], **fields)


def holding(name: str, *devices: DeviceFact, **fields: Any) -> NodeFact:
    """The node of that name with exactly these devices."""
    defaults: dict[str, Any] = {
        "ref": f"ref-{name}",
        "name": name,
        "cpu_milli": 64000,
        "memory_mib": 524288,
        "topology": {"region": "r1", "zone": "z1", "rack": "k1"},
        "devices": devices,
    }
    return NodeFact(**(defaults | fields))


def use(holder: str = "somebody", milli: int = 1000, **fields: Any) -> UseFact:
    """Use of a device by somebody."""
    return UseFact(holder=holder, milli=milli, **fields)


class Shows(Connector):
    """A far end that shows what a test says, in pages of two nodes. ``breaks_after`` pages it fails."""

    def __init__(self, *nodes: NodeFact, last: Last | None = None, page_size: int = 2, is_full: bool = True) -> None:
        self.nodes = list(nodes)
        self.last = last or Last(complete=True)
        self.page_size = page_size
        self.is_full = is_full
        self.gone: tuple[str, ...] = ()
        self.error: Exception | None = None

    def identity(self) -> Identity:
        return Identity(key="far-end")

    def check(self) -> Check:
        return Check(identity=self.identity(), watch=Tier(ok=True), manage=Tier(ok=True))

    def observe(self, cursor):
        pieces = [self.nodes[i : i + self.page_size] for i in range(0, len(self.nodes), self.page_size)]
        for piece in pieces:
            yield Page(nodes=tuple(piece), byte_count=100, is_full=self.is_full)
        if self.error is not None:
            raise self.error
        yield Page(gone=self.gone, is_full=self.is_full, last=self.last)

    def plan(self, target, orders):
        return Plan()

    def apply(self, target, orders):
        return Done(found=Absent())

    def probe(self, target):
        return Absent()


def synced(pool: Pool, connector: Connector, clock: Clock, *, is_dry_run: bool = False) -> SyncRun:
    """Run one observation of the pool through the real pipeline and return its run."""
    from pools.reconcile import inventory

    PoolSync.objects.filter(pool=pool).update(next_at=clock.now)
    if is_dry_run:
        SyncRun.objects.create(
            id=ids.new_id(), pool=pool, trigger="manual", is_dry_run=True, queued_at=clock.now, state="queued"
        )
    turn = turns.take(pool_id=pool.id, now=clock.now)
    assert turn is not None, "nothing was due"
    inventory.observe(turn, connector, clock=clock)
    return SyncRun.objects.get(id=turn.run_id)

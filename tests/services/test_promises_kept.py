"""Whatever is asked for, given back and extended in between, what was promised begins when its time comes."""

import contextlib
import random
from datetime import timedelta

import pytest

from pools.domain.errors import DomainError
from pools.domain.request import Choice, Share
from pools.models import Allocation
from pools.services import allocations, starting
from tests.factories import ALICE, NOW, node
from tests.services.asking import H100, World, with_host

pytestmark = pytest.mark.django_db(transaction=True)


def piece(*profiles, **fields):
    return {"any_of": tuple(Choice(model=H100, profile=profile) for profile in profiles)} | fields


KINDS = (
    *(piece(profile) for profile in ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")),
    piece("1g.10gb", members=2),
    piece("3g.40gb", "1g.10gb"),
    {"share": Share(milli=250)},
    {"share": Share(milli=500, memory_mib=1000)},
    {"share": Share(milli=300), "members": 3},
    {"per_member": with_host(30_000)},
    {},
)
STEPS = 60


class Life:
    """Three cards, and people who ask by chance. ``promised`` are the minutes at which allocations begin."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.world = World(node("n0", devices=2), node("n1", devices=1))
        self.minute, self.promised, self.kept = 0, {}, 0

    def go_on(self):
        self.minute += self.chance.randint(1, 6)
        now = self.world.clock.now = NOW + timedelta(minutes=self.minute)
        self.world.observe()
        allocations.end_leases(now=now)
        starting.start(now=now)
        self.world.check()

    def check(self):
        due = [id for id, at in self.promised.items() if at <= self.minute]
        begun = Allocation.objects.filter(id__in=due, state__in=("active", "released")).values_list("id", flat=True)
        assert set(begun) == set(due), f"not begun in minute {self.minute}"
        for id in due:
            del self.promised[id]
        self.kept += len(due)

    def ask(self):
        minutes = self.chance.choice([None, 5, 10, 20, 40])
        fields = self.chance.choice(KINDS) | {"lease_seconds": None if minutes is None else minutes * 60}
        if self.chance.random() < 0.5:
            self.world.ask(**fields)
            return
        start = self.minute + self.chance.randint(1, 40)
        answer = self.world.ask(start_at=NOW + timedelta(minutes=start), **fields)
        if not isinstance(answer, DomainError):
            self.promised[answer.allocation_id] = start

    def change(self):
        now = self.world.clock.now
        for each in Allocation.objects.filter(state="active").order_by("id"):
            if self.chance.random() < 0.15:
                allocations.release(allocation_id=each.id, actor=ALICE, now=now)
            elif each.end_at and self.chance.random() < 0.2:
                longer = int((each.end_at - each.start_at).total_seconds()) + 600
                with contextlib.suppress(DomainError):
                    allocations.extend(allocation_id=each.id, lease_seconds=longer, actor=ALICE, now=now)
        if self.promised and self.chance.random() < 0.1:
            id = self.chance.choice(sorted(self.promised))
            del self.promised[id]
            allocations.release(allocation_id=id, actor=ALICE, now=now)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_promised_begins_in_its_minute(seed):
    life = Life(seed)

    for _ in range(STEPS):
        life.go_on()
        life.check()
        for _ in range(life.chance.randint(1, 4)):
            life.ask()
        life.change()

    assert life.kept > STEPS // 4

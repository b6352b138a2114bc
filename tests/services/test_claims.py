"""Claims: what is asked for is had by one, whole, and written where everybody looks."""

from decimal import Decimal

import msgspec
import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext
from psycopg.errors import DeadlockDetected

from pools.domain.errors import NoCapacity, QuotaExceeded
from pools.domain.request import Access, Avoid, Choice, Level, Share, Topology
from pools.models import (
    Allocation,
    AuditEvent,
    Capacity,
    CapacityRollup,
    Claim,
    LedgerEvent,
    Member,
    Node,
    Operation,
    PoolGrant,
)
from pools.services import allocations, batches, claiming, claims, price_list
from tests.factories import ALICE, granted, node, project
from tests.services.asking import H100, PLENTY, World, asked, check_rows, quota, with_host

pytestmark = pytest.mark.django_db(transaction=True)

STATEMENTS = 16


class TestARequest:
    def test_gets_devices_that_nobody_else_has_then(self):
        world = World()

        first, second = world.ask(6), world.ask(2)

        assert (first.state, second.state) == ("active", "active")
        row = Capacity.objects.get(kind="cards")
        assert row.pos_claimed_milli == [1000] * 8 and row.free_milli == 0
        assert CapacityRollup.objects.get(kind="cards").claimed_milli == 8000
        world.check()

    def test_finds_nothing_in_a_pool_from_the_moment_on_in_which_its_grant_ends(self):
        world = World()
        assert world.ask(1).state == "active"
        PoolGrant.objects.all().delete()

        answer = world.ask(1)

        assert isinstance(answer, NoCapacity) and Allocation.objects.count() == 1
        world.check()

    def test_is_decided_with_its_own_pools_after_another_look(self, monkeypatch):
        world = World()
        other = project("umbrella/hive")
        granted(world.pool, other)
        quota(other, world.model, PLENTY, quota(other.parent, world.model, PLENTY))
        world.ask(8, mode="hold", hold_seconds=60)
        world.clock.forward(seconds=61)
        real = allocations.expire_holds

        def meanwhile(**more):
            PoolGrant.objects.filter(project=world.project).delete()
            return real(**more)

        monkeypatch.setattr(allocations, "expire_holds", meanwhile)

        first, second = world.submit(world.asked(1), asked(other, 1))

        assert isinstance(first, NoCapacity) and second.state == "active"

    def test_looks_again_when_somebody_else_frees_old_holds_at_the_same_moment(self, monkeypatch):
        world = World()
        world.ask(8, mode="hold", hold_seconds=60)
        world.clock.forward(seconds=61)
        real = allocations.expire_holds

        def deadlocked(**more):
            real(**more)
            raise OperationalError from DeadlockDetected()

        monkeypatch.setattr(allocations, "expire_holds", deadlocked)

        assert world.ask(8).state == "active"
        world.check()

    def test_that_finds_nothing_is_told_so_and_leaves_nothing(self):
        world = World()
        world.ask(6)

        answer = world.ask(4)

        assert isinstance(answer, NoCapacity) and answer.code == "allocation.no_capacity"
        assert Allocation.objects.count() == 1
        world.check()

    def test_beyond_the_quota_is_told_so_and_leaves_nothing(self):
        world = World(quota_milli=6000)
        world.ask(4)

        answer = world.ask(3)

        assert isinstance(answer, QuotaExceeded)
        assert (answer.params["wanted"], answer.params["available"]) == (3000, 2000)
        assert Allocation.objects.count() == 1 and world.used_milli() == 4000
        world.check()

    def test_is_written_down_with_all_that_it_takes(self):
        world = World()

        answer = world.ask(2, name="train-7", per_member=with_host(8000, 1024), lease_seconds=3600)

        made = world.allocation(answer)
        assert (made.state, made.name, made.milli, made.pool, made.model) == (
            "active", "train-7", 2000, world.pool, world.model,
        )  # fmt: skip
        assert (made.end_at - made.start_at).total_seconds() == 3600 and made.quota_ids == sorted(made.quota_ids)
        assert made.spec["devices_per_member"] == 2 and made.decision["explanation"]["policy"] == "pack"
        member = Member.objects.get()
        assert (member.allocation_id, member.index, member.pool_id) == (made.id, 0, world.pool.id)
        assert {(c.capacity.kind, c.milli, c.memory_mib, len(c.positions)) for c in Claim.objects.all()} == {
            ("cards", 1000, 81559, 2), ("host", 8000, 1024, 1),
        }  # fmt: skip
        operation = Operation.objects.get()
        assert (operation.action, operation.state) == ("apply", "confirmed")
        assert operation.target_ref.startswith("oc-") and len(operation.target_ref) == 23
        told = AuditEvent.objects.get(object_id=str(made.id))
        assert (told.action, told.project_id, told.actor) == ("allocation.claimed", world.project.id, "alice")
        assert {(e.kind, e.milli, e.certainty) for e in LedgerEvent.objects.filter(allocation_id=made.id)} == {
            ("use", 2000, "assigned"), ("use", 8000, "assigned"),
        }  # fmt: skip

    def test_is_shown_as_it_was_written_without_another_look(self):
        world = World(count=2)

        answer = world.ask(
            2, members=2, name="größe", labels={"team": "vision", "a": "b", "zeta": "", "ü": "é"}, priority=60,
            any_of=(Choice(vendor="nvidia", memory_mib_min=1), Choice(model=H100)), lease_seconds=3600,
            topology=Topology(members=Level(level="rack"), avoid=Avoid(nodes=("n9",))), before_end_seconds=60,
            access=Access(ssh_keys=("ssh-ed25519 AAAA",)), target={"server": "mine", "x": 1},
        )  # fmt: skip

        row = msgspec.json.decode(answer.shown.body)  # world.ask compares it with a look
        assert [len(member["devices"]) for member in row["members"]] == [2, 2]
        assert row["before_end_state"] == "pending" and row["labels"]["ü"] == "é"

    def test_is_shown_at_the_price_that_is_stored(self):
        world = World()
        price_list.add(model_id=world.model.pk, per_hour=Decimal("1.000001"), actor=ALICE, now=world.clock.now)

        answer = world.ask(1, share=Share(milli=500))

        assert msgspec.json.decode(answer.shown.body)["price_per_hour"] == "0.500001"

    def test_on_another_platform_waits_for_it_to_be_done(self):
        world = World(kind="baremetal")

        answer = world.ask(1)

        assert answer.state == "claimed" and Operation.objects.get().state == "planned"
        assert LedgerEvent.objects.get(allocation_id=answer.allocation_id).kind == "reserve"

    def test_for_a_share_goes_beside_another_share(self):
        world = World()
        world.learn(nodes=1, devices=5, parts=5)

        for _ in range(2):
            world.ask(1, share=Share(milli=400, memory_mib=20000))

        row = Capacity.objects.get(kind="cards")
        assert sorted(row.pos_claimed_milli) == [0] * 7 + [800] and max(row.pos_claimed_mib) == 40000
        world.check()

    def test_for_a_profile_cuts_a_card_and_the_next_lies_beside(self):
        world = World()
        world.learn(nodes=1, devices=5, parts=5)

        for _ in range(8):
            world.ask(1, any_of=(Choice(model=H100, profile="1g.10gb"),))

        row = Capacity.objects.get(kind="cards")
        assert len(row.layout) == 2, "seven fit on a card"
        assert sorted(len(pieces) for pieces in row.layout.values()) == [1, 7]
        starts = [piece["start"] for pieces in row.layout.values() for piece in pieces]
        assert len(set(starts)) == 7
        world.check()

    def test_of_several_models_takes_the_next_where_the_quota_has_no_room_for_the_first(self):
        world = World(quota_milli=0)

        answer = world.ask(1, any_of=(Choice(vendor="nvidia"),))

        assert isinstance(answer, QuotaExceeded)

    def test_for_cpu_alone_needs_no_quota(self):
        world = World(node("n0", devices=0), quota_milli=0)

        answer = world.ask(0, any_of=(), per_member=with_host(64000))

        assert answer.state == "active"
        assert isinstance(world.ask(0, any_of=(), per_member=with_host(1)), NoCapacity)
        world.check()


class TestAGang:
    def test_has_all_of_its_nodes_or_none(self):
        world = World(count=3)

        answer = world.ask(8, members=3)
        refused = world.ask(8, members=2)

        assert answer.state == "active" and isinstance(refused, NoCapacity)
        assert Member.objects.values("node").distinct().count() == 3
        world.check()


class TestABatch:
    def test_gives_each_its_own_and_tells_each_its_own_failure(self):
        world = World(count=4, quota_milli=30000)

        answers = world.submit(*[world.asked(8) for _ in range(5)], world.asked(1, any_of=(Choice(model="none"),)))

        assert [getattr(answer, "state", answer.__class__.__name__) for answer in answers] == [
            "active", "active", "active", "QuotaExceeded", "QuotaExceeded", "NoCapacity",
        ]  # fmt: skip
        world.check()

    def test_is_written_at_once_where_the_first_read_has_rows_for_some_of_it(self, monkeypatch):
        """Of nodes in one state it has a few, so as to leave others to others."""
        world, sizes = World(count=12), []
        real = claiming.attempt

        def counted(planned, *given, **more):
            sizes.append(len(planned))
            return real(planned, *given, **more)

        monkeypatch.setattr(claiming, "attempt", counted)

        answers = world.submit(*[world.asked(8, per_member=with_host(1000)) for _ in range(8)])

        assert {answer.state for answer in answers} == {"active"}
        assert sizes == [8]
        world.check()

    def test_gives_no_piece_of_a_card_twice_that_somebody_cuts_between_its_reads(self, monkeypatch):
        world, taken = World(count=60, devices=1), []
        piece, whole = (Choice(model=H100, profile="1g.10gb"),), (Choice(model=H100, profile="7g.80gb"),)
        real = batches.Batch._plan_further

        def meanwhile(self, read, planned, refused):
            (placed,) = [each.decision.members[0] for each in planned if each.decision.profile == "1g.10gb"]
            others = tuple(Node.objects.exclude(pk=placed.node_id).values_list("name", flat=True))
            other = world.asked(1, any_of=piece, topology=Topology(avoid=Avoid(nodes=others)))
            taken.extend(claims.submit([other], now=world.clock.now))
            return real(self, read, planned, refused)

        monkeypatch.setattr(batches.Batch, "_plan_further", meanwhile)

        answers = world.submit(world.asked(1, any_of=piece), *[world.asked(1, any_of=whole) for _ in range(30)])

        assert {answer.state for answer in (*taken, *answers)} == {"active"} and len(taken) == 1
        for layout in Capacity.objects.values_list("layout", flat=True):
            for pieces in layout.values():
                assert len({each["start"] for each in pieces}) == len(pieces)
        world.check()

    @pytest.mark.parametrize("size", [1, 100, 1000])
    def test_takes_as_many_statements_for_a_thousand_as_for_one(self, size):
        world = World(count=14)
        world.ask(1)
        wanted = [world.asked(1, share=Share(milli=100), per_member=with_host(100)) for _ in range(size)]

        world.observe()

        with CaptureQueriesContext(connection) as queries:
            answers = claims.submit(wanted, now=world.clock.now)

        assert {answer.state for answer in answers} == {"active"}
        assert len(queries) == STATEMENTS, [query["sql"] for query in queries]
        check_rows(answers)
        world.check()

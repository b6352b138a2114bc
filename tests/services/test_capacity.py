"""Capacity rows: what a trigger derives from the positions, how roll-ups follow, and who may wait for whom."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from pools.models import Capacity, CapacityRollup, ChipModel, LedgerEvent, Node, Pool
from pools.services import sql
from tests.factories import NOW, Clock, Shows, device, holding, node, pool, synced, use
from tests.reconcile.invariants import check_sums

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 25
AMOUNTS = ("total", "claimed", "held", "shadow", "faulty")


def row(lab: Pool, total: list[int], **fields: Any) -> Capacity:
    """A ``cards`` row of the pool with these positions, claims and all."""
    count = len(total)
    defaults: dict[str, Any] = {
        name: [0] * count
        for name in (
            *("pos_shadow_milli", "pos_faulty_milli", "pos_claimed_milli", "pos_held_milli"),
            *("pos_total_mib", "pos_shadow_mib", "pos_faulty_mib", "pos_claimed_mib", "pos_held_mib"),
        )
    }
    values = (
        defaults | {"kind": "cards", "units": count, "ceiling_milli": sum(total), "model": a_model("h100")} | fields
    )
    made = Capacity.objects.create(pool=lab, pos_total_milli=total, **values)
    made.refresh_from_db()
    return made


def divided(total: int, claimed: int, held: int, shadow: int, faulty: int) -> tuple[int, ...]:
    """What a position of these amounts adds to the sums of its row: use and faults count of what is left."""
    left = max(total - claimed - held, 0)
    used = min(shadow, left)
    out = min(faulty, left - used)
    return total, claimed, held, used, out, left - used - out


def a_model(slug: str) -> ChipModel:
    return ChipModel.objects.get_or_create(slug=slug, defaults={"vendor": "nvidia", "name": slug, "created_at": NOW})[0]


def a_node(lab: Pool, ref: str) -> Node:
    return Node.objects.create(pool=lab, ref=ref, name=ref, fingerprint=0, created_at=NOW, changed_at=NOW)


def parts(found: Capacity) -> tuple[int, ...]:
    return (
        found.total_milli, found.claimed_milli, found.held_milli, found.shadow_milli, found.faulty_milli,
        found.free_milli,
    )  # fmt: skip


class TestWhatIsDerived:
    def test_is_the_sum_of_the_positions_and_what_is_left(self):
        found = row(
            pool(), [1000, 1000, 1000, 1000], pos_claimed_milli=[500, 0, 0, 0], pos_held_milli=[0, 200, 0, 0],
            pos_shadow_milli=[0, 0, 300, 0], pos_total_mib=[100, 100, 100, 100], pos_claimed_mib=[60, 0, 0, 0],
        )  # fmt: skip

        assert parts(found) == (4000, 500, 200, 300, 0, 3000)
        assert (found.free_whole, found.max_free_milli, found.free_mib) == (1, 1000, 340)

    def test_counts_use_and_faults_only_of_what_nobody_claimed(self):
        found = row(
            pool(), [1000], pos_claimed_milli=[700], pos_shadow_milli=[1000], pos_faulty_milli=[1000],
            ceiling_milli=1000,
        )  # fmt: skip

        assert parts(found) == (1000, 700, 0, 300, 0, 0)

    def test_of_a_card_that_died_under_its_claim_has_nothing_free_and_more_taken_than_there_is(self):
        found = row(pool(), [0, 1000], pos_claimed_milli=[1000, 0], ceiling_milli=1000)

        assert parts(found) == (1000, 1000, 0, 0, 0, 1000)
        assert found.free_whole == 1

    def test_of_a_counter_counts_whole_units(self):
        found = row(pool(), [994], kind="counter", unit_milli=142, units=7, pos_claimed_milli=[142 * 3 + 1])

        assert (found.free_milli, found.free_whole) == (567, 3)

    def test_of_a_row_without_positions_is_nothing(self):
        assert parts(row(pool(), [])) == (0, 0, 0, 0, 0, 0)

    def test_is_what_the_rule_says_whatever_the_positions_are(self):
        lab, dice, digests = pool(), random.Random(21), {}
        for number in range(200):
            positions = [
                [dice.choice((0, 250, 1000, 1000)), *(dice.choice((0, 0, 0, 0, 250, 500, 1000)) for _ in AMOUNTS[1:])]
                for _ in range(dice.randint(1, 8))
            ]
            amounts = dict(zip(AMOUNTS, zip(*positions, strict=True), strict=True))

            found = row(
                lab, list(amounts["total"]), resource=str(number), ceiling_milli=16_000,
                **{f"pos_{name}_milli": list(of_each) for name, of_each in amounts.items() if name != "total"},
                **{f"pos_{name}_mib": [2 * milli for milli in of_each] for name, of_each in amounts.items()},
            )  # fmt: skip

            shares = [divided(*each) for each in positions]
            assert parts(found) == tuple(map(sum, zip(*shares, strict=True)))
            free = [(each[-1], each[0]) for each in shares]
            assert found.free_whole == found.state_key >> 32 == sum(left == total > 0 for left, total in free)
            assert (found.max_free_milli, found.free_mib) == (max(free)[0], 2 * found.free_milli)
            digests[found.id] = tuple(sorted(left for left, total in free if 0 < left < total)), found.state_key % 2**32
        assert len(set(digests.values())) == len(dict(digests.values())) > 10

    def test_cannot_be_written_by_hand(self):
        found = row(pool(), [1000])

        Capacity.objects.filter(id=found.id).update(free_milli=10**6, total_milli=5, free_whole=77)

        found.refresh_from_db()
        assert (found.free_milli, found.total_milli, found.free_whole) == (1000, 1000, 1)


class TestOverbooking:
    def test_is_refused_by_the_database_itself(self):
        found = row(pool(), [1000])

        with pytest.raises(IntegrityError, match="capacity_not_overbooked"), transaction.atomic():
            Capacity.objects.filter(id=found.id).update(pos_claimed_milli=[800], pos_held_milli=[201])

    def test_below_zero_is_refused_too(self):
        found = row(pool(), [1000])

        with pytest.raises(IntegrityError, match="capacity_not_negative"), transaction.atomic():
            Capacity.objects.filter(id=found.id).update(pos_claimed_milli=[-1])


class TestRollUps:
    def test_follow_a_statement_over_many_rows(self):
        lab = pool()
        nodes = [a_node(lab, f"n{i}") for i in range(5)]

        made = [
            Capacity(
                pool=lab, node=n, kind="host", pos_total_milli=[1000 * i], ceiling_milli=1000 * i, units=1,
                **{f"pos_{name}": [0] for name in (
                    "total_mib", "shadow_milli", "shadow_mib", "faulty_milli", "faulty_mib", "claimed_milli",
                    "claimed_mib", "held_milli", "held_mib")},
            )
            for i, n in enumerate(nodes)
        ]  # fmt: skip
        Capacity.objects.bulk_create(made)

        assert CapacityRollup.objects.get(pool=lab).free_milli == 10000
        Capacity.objects.filter(pool=lab, units=1).update(pos_faulty_milli=F("pos_total_milli"))
        assert CapacityRollup.objects.get(pool=lab).faulty_milli == 10000
        check_sums(lab.id)

    def test_move_with_a_row_that_changes_its_keys(self):
        lab = pool()
        found = row(lab, [1000, 1000])

        Capacity.objects.filter(id=found.id).update(model=a_model("a100"), is_advisory=True)

        sums = {r.model.slug: (r.units, r.total_milli) for r in CapacityRollup.objects.filter(pool=lab) if r.model}
        assert sums == {"h100": (0, 0), "a100": (2, 2000)}
        check_sums(lab.id)

    def test_tell_the_ledger_each_change_once_and_nothing_of_advisory_rows(self):
        lab = pool()
        found = row(lab, [1000, 1000], pos_shadow_milli=[300, 0])
        row(lab, [1000], is_advisory=True, pos_faulty_milli=[1000], model=a_model("a100"))

        Capacity.objects.filter(id=found.id).update(pos_shadow_milli=[300, 0], pos_claimed_milli=[0, 500])
        Capacity.objects.filter(id=found.id).update(pos_claimed_milli=[1000, 0])
        Capacity.objects.filter(id=found.id).update(pos_claimed_milli=[0, 0])

        told = LedgerEvent.objects.filter(pool_id=lab.id).order_by("id").values_list("kind", "milli")
        assert list(told) == [("shadow", 300), ("shadow", 0), ("shadow", 300)]


class TestManyWritersAtOnce:
    def test_never_wait_in_a_ring_and_lose_nothing(self):
        lab, clock = two_kinds_of_sums(), Clock()
        ids = list(Capacity.objects.filter(pool=lab).order_by("id").values_list("id", flat=True))
        errors: list[BaseException] = []

        def observe() -> None:
            for turn in range(ROUNDS):
                # Half of the nodes change, so that claims on the others meet this run at the roll-ups alone.
                shown = [changed(f"n{i}", is_used=i < 4 and turn % 2 == 0) for i in range(8)]
                synced(lab, Shows(*shown, page_size=8), clock)

        def claim_and_release() -> None:
            for turn in range(ROUNDS * 4):
                some = [ids[turn % 16], ids[(turn * 7 + 3) % 16], ids[(turn + 8) % 16]]
                if claim(some, 10):
                    claim(some, -10)

        at_once(errors, observe, claim_and_release, claim_and_release)

        assert not errors
        assert not any(row.claimed_milli for row in Capacity.objects.filter(pool=lab))
        check_sums(lab.id)

    def test_let_a_claim_wait_for_the_sums_that_a_merge_is_about_to_change(self, monkeypatch: pytest.MonkeyPatch):
        lab, clock = two_kinds_of_sums(), Clock()
        of_another_node = list(Capacity.objects.filter(node__name="n7").values_list("id", flat=True))
        errors: list[BaseException] = []
        claims: list[threading.Thread] = []
        run = sql.run

        def run_beside_a_claim(cursor: Any, name: str, params: Any = None) -> None:
            if name == "refresh_hosts" and not claims:
                claims.append(started(errors, lambda: claim(of_another_node, 10)))
                wait_for_a_lock(cursor)
            run(cursor, name, params)

        monkeypatch.setattr(sql, "run", run_beside_a_claim)
        synced(lab, Shows(*[changed(f"n{i}", is_used=i < 4) for i in range(8)], page_size=8), clock)
        claims[0].join()

        assert not errors
        assert [row.claimed_milli for row in Capacity.objects.filter(id__in=of_another_node)] == [10, 10]
        check_sums(lab.id)


def two_kinds_of_sums() -> Pool:
    """A pool whose sums of hosts came to be before those of cards, so that their lock order is not the merge's own."""
    lab, clock = pool(), Clock()
    for devices in (0, 2):
        synced(lab, Shows(*[node(f"n{i}", devices=devices) for i in range(8)], page_size=8), clock)
    return lab


def changed(name: str, *, is_used: bool) -> Any:
    uses = (use(milli=400),) if is_used else ()
    cards = (device(f"{name}-0", index=0, uses=uses), device(f"{name}-1", index=1))
    return holding(name, *cards, cpu_used_milli=500 if is_used else 0)


def claim(ids: list[UUID], milli: int) -> bool:
    """Take from the first position of all these rows or of none, as a claiming UPDATE does: rows in id order first."""
    wanted = sorted(set(ids))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM capacity WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [wanted])
        cursor.execute(
            """
            UPDATE capacity SET pos_claimed_milli[1] = pos_claimed_milli[1] + %(n)s WHERE id = ANY(%(ids)s)
            AND pos_total_milli[1] - pos_claimed_milli[1] - pos_held_milli[1] - pos_shadow_milli[1]
                - pos_faulty_milli[1] >= %(n)s
            """,
            {"n": milli, "ids": wanted},
        )
        is_whole: bool = cursor.rowcount == len(wanted)
        if not is_whole:
            transaction.set_rollback(True)
    return is_whole


def wait_for_a_lock(cursor: Any) -> None:
    """Return when another transaction waits for a lock. Fails after ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        if cursor.fetchone()[0]:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def at_once(errors: list[BaseException], *works: Callable[[], object]) -> None:
    for thread in [started(errors, work) for work in works]:
        thread.join()


def started(errors: list[BaseException], work: Callable[[], object]) -> threading.Thread:
    """Start the work in a thread that notes what it raises and leaves no connection behind."""

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread

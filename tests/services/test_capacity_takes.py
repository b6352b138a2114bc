"""What claims take of a capacity row is taken off its sums: these are always what all of its positions say."""

from itertools import count
from random import Random
from typing import Any

import pytest
from django.db import IntegrityError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pools.models import Capacity
from tests.factories import pool
from tests.reconcile.invariants import check_sums
from tests.services.test_capacity import row

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = count()
# Of a position at most, and how much of it a sync says, mostly and otherwise.
UNITS = {"milli": 1000, "mib": 80}
OBSERVED = {"total": (1, (0.5, 0)), "shadow": (0, (0.3, 1)), "faulty": (0, (1,))}

Share = dict[int, tuple[int, int]]


class Positions:
    """A capacity row, and what its positions are to be."""

    def __init__(self, kind: str, said: dict[str, list[int]]) -> None:
        none = [0] * len(said["pos_total_milli"])
        self.lists = said | {f"pos_{name}_{unit}": [*none] for name in ("claimed", "held") for unit in UNITS}
        others = {name: of for name, of in self.lists.items() if name != "pos_total_milli"} | {"ceiling_milli": 10**6}
        total = self.lists["pos_total_milli"]
        number = str(next(NUMBERS))
        self.id = row(pool(number), total, kind=kind, resource=number, unit_milli=250, **others).id

    def sync(self, said: dict[str, list[int]]) -> None:
        self.lists |= said
        Capacity.objects.filter(id=self.id).update(**said)

    def free(self, place: int) -> None:
        for name in ("claimed", "held"):
            for unit in UNITS:
                self.lists[f"pos_{name}_{unit}"][place - 1] = 0
        Capacity.objects.filter(id=self.id).update(**self.lists)

    def take(self, claims: Share, holds: Share) -> None:
        for name, taken in (("claimed", claims), ("held", holds)):
            for place, amounts in taken.items():
                for unit, amount in zip(UNITS, amounts, strict=True):
                    self.lists[f"pos_{name}_{unit}"][place - 1] += amount
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE capacity SET claiming = (%s::integer[], %s::integer[], %s::bigint[]),"
                " holding = (%s::integer[], %s::integer[], %s::bigint[]) WHERE id = %s",
                [*columns(claims), *columns(holds), self.id],
            )

    def check(self) -> None:
        after = values(self)
        assert {name: after[name] for name in self.lists} == self.lists
        Capacity.objects.filter(id=self.id).update(state_key=0)  # has all derived
        assert values(self) == after
        check_sums(after["pool_id"])


def columns(taken: Share) -> list[list[int] | None]:
    milli, mib = ([amounts[at] for amounts in taken.values()] for at in (0, 1))
    return [[*taken], milli, mib] if taken else [None, None, None]


def values(positions: Positions) -> Any:
    return Capacity.objects.filter(id=positions.id).values().get()


def whole(*places: int) -> Share:
    return dict.fromkeys(places, (1000, 80))


def alike(places: int, **fields: list[int]) -> dict[str, list[int]]:
    return {f"pos_{name}_{unit}": [mostly * most] * places for name, (mostly, _) in OBSERVED.items()
            for unit, most in UNITS.items()} | fields  # fmt: skip


def observed(dice: Random, places: int) -> dict[str, list[int]]:
    """What a sync says of so many positions: mostly that each is a whole card that is well and not used."""
    return {
        f"pos_{name}_{unit}": [int(most * dice.choice((*[mostly] * 12, *others))) for _ in range(places)]
        for name, (mostly, others) in OBSERVED.items() for unit, most in UNITS.items()
    }  # fmt: skip


def share(dice: Random, places: int) -> Share:
    """What is taken of some positions: mostly whole cards, at times parts, nothing, and more than there is."""
    some = dice.sample(range(1, places + 1), min(places, dice.choice((1, 1, 2, 3))))
    return {place: dice.choice([(1000, 80)] * 8 + [(1000, 0), (250, 20), (500, 90), (0, 10)]) for place in some}


class TestWhatIsTaken:
    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**32))
    def test_leaves_the_sums_that_all_positions_say_after_any_history(self, seed: int):
        dice = Random(seed)
        kind = dice.choice(("cards", "cards", "cards", "cards", "counter", "host"))
        places = dice.randint(1, 8) if kind == "cards" else 1
        found = Positions(kind, observed(dice, places))

        for _ in range(6):
            step = dice.choice((*["claim"] * 5, "hold", "both", "sync", "free"))
            if step == "sync":
                found.sync(observed(dice, places))
            elif step == "free":
                found.free(dice.randint(1, places))
            else:
                claims = share(dice, places) if step != "hold" else {}
                found.take(claims, share(dice, places) if step != "claim" else {})
            found.check()

    @pytest.mark.parametrize(
        ("said", "claims", "is_plain"),
        [
            (alike(4), whole(3), True),
            (alike(4), whole(1, 2, 3, 4), True),
            (alike(4), {2: (250, 20)}, False),
            (alike(1, pos_total_milli=[0]), {1: (0, 10)}, False),
            (alike(2, pos_shadow_milli=[0, 300]), whole(1), False),
            (alike(2, pos_total_milli=[1000, 500]), whole(1), False),
            (alike(2, pos_total_milli=[1000, 0]), whole(1), True),
            (alike(2, pos_faulty_milli=[0, 1000]), whole(1), True),
        ],
    )
    def test_is_derived_anew_only_where_more_changes_than_how_many_are_whole(
        self, said: dict[str, list[int]], claims: Share, is_plain: bool
    ):
        found = Positions("cards", said)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE capacity DISABLE TRIGGER capacity_take_derive")
            try:
                if is_plain:
                    found.take(claims, {})
                else:
                    with pytest.raises(IntegrityError, match="state_key"):
                        found.take(claims, {})
            finally:
                cursor.execute("ALTER TABLE capacity ENABLE TRIGGER capacity_take_derive")

        if is_plain:
            found.check()

    def test_is_never_kept(self):
        found = Positions("cards", alike(1))

        with pytest.raises(IntegrityError, match="capacity_took"), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE capacity DISABLE TRIGGER capacity_take")
            try:
                found.take(whole(1), {})
            finally:
                cursor.execute("ALTER TABLE capacity ENABLE TRIGGER capacity_take")

    def test_is_taken_off_right_sums_by_a_statement_that_writes_wrong_ones(self):
        found = Positions("cards", alike(2))

        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE capacity SET free_milli = 7, max_free_milli = 7, claiming = ('{1}', '{1000}', '{80}')"
                " WHERE id = %s", [found.id],
            )  # fmt: skip

        found.lists |= {"pos_claimed_milli": [1000, 0], "pos_claimed_mib": [80, 0]}
        found.check()

"""Targets: which object carries an order, what an outcome says of its orders, and when to ask again."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import catalog
from connectors.contract import Absent, Denied, Found, Mode, NoCapacity, Order, Permanent, Transient
from pools.domain import targets
from tests.factories import NOW

ALLOCATION, OTHER, POOL = UUID(int=1), UUID(int=2), UUID(int=3)


def mode(per):
    return Mode(name="some", grain="node", target="vm", per=per, forms=("whole",))


def key(per, installation="ours", allocation_id=ALLOCATION, index=0, pool_id=POOL, node_ref="n1"):
    return targets.key(
        mode(per), installation, allocation_id=allocation_id, index=index, pool_id=pool_id, node_ref=node_ref
    )


def order(marker):
    return Order(marker=marker, allocation=str(ALLOCATION), member=0)


class TestAKey:
    def test_is_the_same_whenever_it_is_asked_for(self):
        for per in ("member", "allocation", "node"):
            assert key(per) == key(per) and key(per).kind == "vm"

    def test_of_a_member_is_of_no_other_member(self):
        assert len({key("member"), key("member", index=1), key("member", allocation_id=OTHER)}) == 3
        assert key("member") == key("member", node_ref="n2"), "it may be tried elsewhere by the same name"

    def test_of_an_allocation_is_shared_by_its_members_alone(self):
        assert key("allocation") == key("allocation", index=1) != key("allocation", allocation_id=OTHER)

    def test_of_a_node_is_shared_by_all_that_are_there(self):
        assert key("node") == key("node", allocation_id=OTHER, index=5)
        assert len({key("node"), key("node", node_ref="n2"), key("node", pool_id=OTHER)}) == 3

    @pytest.mark.parametrize("per", ["member", "allocation", "node"])
    def test_of_another_installation_is_another(self, per):
        assert key(per) != key(per, installation="theirs")

    @given(st.uuids(), st.integers(0, 10_000))
    def test_is_a_name_that_every_platform_takes(self, allocation_id, index):
        ref = key("member", allocation_id=allocation_id, index=index).ref

        assert len(ref) == 23 and ref.startswith("oc-") and ref[3:].isalnum() and ref == ref.lower()


class TestTheMode:
    MANIFEST = catalog.manifest("simulated")
    FIRST, LAST = MANIFEST.modes[0].name, MANIFEST.modes[-1].name

    @pytest.mark.parametrize(("name", "found"), [(LAST, LAST), ("", FIRST), ("gone", FIRST)])
    def test_is_that_of_the_name_or_the_first(self, name, found):
        assert targets.mode_of(self.MANIFEST, name).name == found


class TestWhatIsCarried:
    @pytest.mark.parametrize(
        ("wanted", "found", "is_it"),
        [
            ((), Absent(), True),
            (("a",), Absent(), False),
            (("b", "a"), Found(generation=1, markers=("a", "b")), True),
            (("a", "b"), Found(generation=1, markers=("a",)), False),
            (("a",), Found(generation=1, markers=("a", "b")), False),
            ((), Found(generation=1), True),
        ],
    )
    def test_is_every_order_and_no_other(self, wanted, found, is_it):
        assert targets.is_carried([order(marker) for marker in wanted], found) is is_it


class TestAnError:
    @pytest.mark.parametrize(
        ("error", "kind", "is_final"),
        [
            (Transient("later"), "transient", False),
            (NoCapacity("full"), "no_capacity", True),
            (Denied("no"), "denied", True),
            (Permanent("wrong"), "permanent", True),
            (Permanent("newer there", code=targets.STALE), "permanent", False),
        ],
    )
    def test_says_by_its_class_whether_the_same_would_be_refused_again(self, error, kind, is_final):
        assert (targets.class_of(error), targets.is_final(error)) == (kind, is_final)

    def test_is_shown_with_the_words_of_the_platform(self):
        told = targets.trouble(Denied("Give it the right.", code="forbidden", platform_words="403: no"))

        assert told == {"code": "forbidden", "message": "Give it the right.", "words": "403: no", "class": "denied"}


class TestTheNextTry:
    def wait(self, failures, **more):
        return (targets.next_try(NOW, failures, POOL, **more) - NOW).total_seconds()

    def test_comes_soon_at_first_and_at_last_every_quarter_of_an_hour(self):
        assert 4.5 <= self.wait(1) <= 5.5 and 9 <= self.wait(2) <= 11
        assert all(810 <= self.wait(failures) <= 990 for failures in (9, 50, 10**6))

    @given(st.integers(0, 40), st.floats(0, 10_000))
    def test_never_comes_before_the_platform_wants_it(self, failures, after_seconds):
        due = targets.next_try(NOW, failures, POOL, after_seconds)

        assert due >= NOW + timedelta(seconds=after_seconds) - timedelta(microseconds=1)

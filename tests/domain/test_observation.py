"""What a loss means, what a fingerprint tells apart, and what one run has seen."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import CounterFact, DeviceFact, NodeFact, UseFact
from pools.domain import observation
from pools.domain.observation import Loss, Recorded, Sight, Unseen, fingerprint, needs_person, salt, topology_path

SALT = salt("catalogue")
words = st.text(max_size=8)
maybe = st.none() | words
counts = st.integers(0, 2**31 - 1)
maps = st.dictionaries(words, words, max_size=2)
uses = st.lists(
    st.builds(UseFact, holder=words, milli=counts, memory_mib=counts, marker=maybe, is_counted=st.booleans()),
    max_size=2,
).map(tuple)
devices = st.builds(
    DeviceFact, ref=words, vendor=words, model=words, pci_id=maybe, index=st.none() | counts, uuid=maybe, serial=maybe,
    pci_address=maybe, memory_mib=counts, profile=maybe, total_milli=counts,
    health=st.sampled_from(["ok", "faulty", "unknown"]), health_reason=words, link_group=maybe,
    numa_node=st.none() | counts, uses=uses, attributes=maps,
)  # fmt: skip
counters = st.builds(
    CounterFact, ref=words, vendor=words, model=words, pci_id=maybe, profile=maybe, unit_milli=counts,
    unit_memory_mib=counts, total_units=counts, faulty_units=counts, uses=uses,
)  # fmt: skip
nodes = st.builds(
    NodeFact, ref=words, name=words, uuid=maybe, serial=maybe, topology=maps, labels=maps, cpu_milli=counts,
    memory_mib=counts, cpu_used_milli=counts, memory_used_mib=counts, is_available=st.booleans(),
    unavailable_reason=words, devices=st.lists(devices, max_size=2).map(tuple),
    counters=st.lists(counters, max_size=2).map(tuple),
)  # fmt: skip
OTHER: dict[type, Any] = {bool: lambda value: not value, int: lambda value: value + 1, str: lambda value: value + "x"}


def with_other(fact: Any, name: str) -> Any:
    """The fact with another value in one field, of a kind that the field may have."""
    value = getattr(fact, name)
    if name == "health":
        other: Any = "faulty" if value == "ok" else "ok"
    elif isinstance(value, tuple):
        made = {"devices": DeviceFact(ref="x"), "counters": CounterFact(ref="x"), "uses": UseFact(holder="x", milli=1)}
        other = (*value, made[name])
    elif isinstance(value, dict):
        other = {**value, "another": "x"}
    elif value is None:
        other = 7 if name in ("index", "numa_node") else "x"
    else:
        other = OTHER[type(value)](value)
    return type(fact)(**{field: getattr(fact, field) for field in fact.__struct_fields__} | {name: other})


class TestAFingerprint:
    @given(nodes)
    def test_of_equal_facts_is_equal_and_fits_a_bigint(self, fact):
        again = NodeFact(**{name: getattr(fact, name) for name in fact.__struct_fields__})

        assert fingerprint(fact, SALT) == fingerprint(again, SALT)
        assert -(2**63) <= fingerprint(fact, SALT) < 2**63

    @given(nodes, st.data())
    def test_differs_when_any_field_of_the_node_does(self, fact, data):
        name = data.draw(st.sampled_from(NodeFact.__struct_fields__))

        assert fingerprint(with_other(fact, name), SALT) != fingerprint(fact, SALT)

    @given(nodes, devices, counters, st.data())
    def test_differs_when_any_field_of_a_device_a_counter_or_a_use_does(self, fact, device, counter, data):
        values = {name: getattr(fact, name) for name in fact.__struct_fields__}
        kind, part = data.draw(st.sampled_from([("devices", device), ("counters", counter)]))
        other = with_other(part, data.draw(st.sampled_from(part.__struct_fields__)))

        one, two = NodeFact(**(values | {kind: (part,)})), NodeFact(**(values | {kind: (other,)}))

        assert fingerprint(one, SALT) != fingerprint(two, SALT)

    @given(maps)
    def test_does_not_depend_on_the_order_of_labels(self, labels):
        backwards = dict(reversed(labels.items()))

        one, two = (NodeFact(ref="r", name="n", labels=order) for order in (labels, backwards))

        assert fingerprint(one, SALT) == fingerprint(two, SALT)

    @given(nodes)
    def test_is_another_for_another_catalogue(self, fact):
        assert fingerprint(fact, SALT) != fingerprint(fact, salt("another catalogue"))

    def test_is_another_for_another_merge(self, monkeypatch):
        before = salt("catalogue")

        monkeypatch.setattr(observation, "MERGE_VERSION", observation.MERGE_VERSION + 1)

        assert salt("catalogue") != before


class TestALoss:
    @pytest.mark.parametrize(
        ("loss", "reason"),
        [
            (Loss(nodes=0, live_nodes=0, devices=0, live_devices=0), None),
            (Loss(nodes=0, live_nodes=10, devices=0, live_devices=80), None),
            (Loss(nodes=1, live_nodes=1, devices=0, live_devices=0), "all_nodes"),
            (Loss(nodes=3, live_nodes=3, devices=24, live_devices=24), "all_nodes"),
            (Loss(nodes=5, live_nodes=24, devices=0, live_devices=0), None),
            (Loss(nodes=5, live_nodes=6, devices=0, live_devices=100), None),
            (Loss(nodes=6, live_nodes=30, devices=0, live_devices=0), None),
            (Loss(nodes=6, live_nodes=29, devices=0, live_devices=0), "many_nodes"),
            (Loss(nodes=1, live_nodes=100, devices=20, live_devices=100), None),
            (Loss(nodes=1, live_nodes=100, devices=21, live_devices=100), "many_devices"),
            (Loss(nodes=0, live_nodes=100, devices=1, live_devices=100, has_claims=True), "claimed"),
            (Loss(nodes=0, live_nodes=100, devices=0, live_devices=100, has_claims=True), None),
        ],
    )
    def test_needs_a_person_beyond_its_thresholds(self, loss, reason):
        assert needs_person(loss) == reason

    @given(st.data(), st.integers(0, 1000), st.integers(0, 8000), st.booleans())
    def test_that_is_larger_never_needs_a_person_less(self, data, live_nodes, live_devices, has_claims):
        lost = data.draw(st.integers(0, live_nodes)), data.draw(st.integers(0, live_devices))
        more = data.draw(st.integers(lost[0], live_nodes)), data.draw(st.integers(lost[1], live_devices))

        small, large = (
            Loss(nodes=n, live_nodes=live_nodes, devices=d, live_devices=live_devices, has_claims=has_claims)
            for n, d in (lost, more)
        )

        assert needs_person(small) is None or needs_person(large) is not None


class TestWhatARunHasSeen:
    def test_counts_a_node_once(self):
        sight = Sight(recorded={})

        assert [sight.is_repeated("a"), sight.is_repeated("a"), sight.is_repeated("b")] == [False, True, False]

    def test_is_unchanged_only_with_the_same_fingerprint_and_not_missing(self):
        sight = Sight(recorded={"a": recorded(1, fingerprint=5), "b": recorded(2, fingerprint=5, is_missing=True)})

        assert sight.is_unchanged("a", 5)
        assert not sight.is_unchanged("a", 6) and not sight.is_unchanged("b", 5) and not sight.is_unchanged("c", 5)

    def test_leaves_unseen_all_others_if_it_was_full_else_what_is_said_to_be_gone_or_was_before(self):
        sight = Sight(
            recorded={"a": recorded(1), "b": recorded(2), "c": recorded(3, is_missing=True), "d": recorded(4)}
        )
        sight.seen, sight.gone = {"a"}, {"a", "b"}

        assert set(sight.unseen_nodes(is_full=True)) == {"b", "c", "d"}
        assert set(sight.unseen_nodes(is_full=False)) == {"b", "c"}

    @given(st.frozensets(st.uuids(), max_size=4), st.frozensets(st.uuids(), max_size=4))
    def test_is_stored_and_read_back(self, node_ids, device_ids):
        unseen = Unseen(node_ids, device_ids)

        assert Unseen.stored(unseen.as_stored()) == unseen
        assert Unseen() <= unseen <= unseen | Unseen(devices=frozenset([UUID(int=1)]))


def recorded(number: int, *, fingerprint: int = 0, is_missing: bool = False) -> Recorded:
    return Recorded(UUID(int=number), fingerprint, 8, is_missing)


def test_a_topology_path_goes_from_wide_to_narrow_and_leaves_out_what_is_unknown():
    assert topology_path({"region": "r1", "zone": "", "rack": "k7"}) == "r1/k7"
    assert len(topology_path({"region": "r" * 600})) == 500

"""Requests as people write them: everything that is wrong is named at once, and nothing absurd gets in."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pools.domain import choices, request_body, request_rules
from pools.domain.errors import Invalid
from pools.domain.request import Avoid, Choice, Level, PerMember, Share, Topology, Wanted, complete
from pools.domain.shapes import Shape
from tests.domain.views import A100, H100, chips, want

BODY = {
    "project": "acme/vision",
    "name": "train-7",
    "members": 4,
    "devices_per_member": 8,
    "any_of": [{"model": H100}, {"vendor": "nvidia", "memory_mib_min": 40_960, "profile": None}],
    "share": None,
    "per_member": {"cpu_milli": 64_000, "memory_mib": 524_288},
    "topology": {"devices": {"level": "link-group", "required": True}, "spread": None},
    "pools": {"labels": "tier=prod"},
    "lease_seconds": 86_400,
}


def read(**changes):
    return request_body.read({**BODY, **changes}, chips())


def wrong(**changes):
    """The wrong fields with their codes."""
    with pytest.raises(Invalid) as refused:
        read(**changes)
    return {mistake.field: mistake.code for mistake in refused.value.fields}


class TestBody:
    def test_becomes_a_request_with_the_defaults(self):
        wanted = read()

        assert wanted.devices == 32 and wanted.any_of[1] == Choice(vendor="nvidia", memory_mib_min=40_960)
        assert (wanted.policy, wanted.priority, wanted.mode) == ("pack", 50, "claim")
        assert wanted.topology.devices.required and wanted.topology.avoid.nodes == ()

    def test_takes_prices_as_numbers_and_as_text(self):
        assert read(max_price_per_hour=12.5).max_price_per_hour == read(max_price_per_hour="12.5").max_price_per_hour

    def test_names_everything_that_is_wrong_at_once(self):
        assert wrong(
            members="4",
            lease_seconds=-1,
            any_of=[{"model": "nvidia-h100"}, {"vendor": 7}, {"vendor": "nvida"}],
            topology={"devices": {"level": "rack"}, "member": None},
            nmae="x",
        ) == {
            "members": "bad_value",
            "lease_seconds": "out_of_range",
            "any_of[0].model": "unknown_model",
            "any_of[1].vendor": "bad_value",
            "any_of[2].vendor": "bad_value",
            "topology.devices.level": "unknown_level",
            "topology.member": "unknown_field",
            "nmae": "unknown_field",
        }

    def test_suggests_what_was_meant(self):
        with pytest.raises(Invalid) as refused:
            read(any_of=[{"model": "nvidia-h100"}], nmae="x", policy="packed")

        details = {mistake.field: mistake.detail for mistake in refused.value.fields}
        assert H100 in details["any_of[0].model"] and "name" in details["nmae"] and "pack" in details["policy"]

    @pytest.mark.parametrize("body", [None, [], 7, "x"])
    def test_is_an_object(self, body):
        with pytest.raises(Invalid):
            request_body.read(body, chips())

    @pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
    def test_has_texts_that_can_be_stored(self, text):
        assert wrong(target={"server": text}) == {"target": "bad_text"}

    def test_with_a_flavor_leaves_to_it_what_it_sets(self):
        flavor = {"devices_per_member": 8, "any_of": [{"model": H100}]}

        assert request_body.with_flavor({"project": "a", "flavor": "big"}, flavor)["devices_per_member"] == 8
        with pytest.raises(Invalid) as refused:
            request_body.with_flavor({"devices_per_member": 4}, flavor)
        assert [mistake.field for mistake in refused.value.fields] == ["devices_per_member"]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from([*Wanted.__struct_fields__, "model", "level", "milli", "x"]), inner, max_size=6
                )
            ),
            max_leaves=12,
        )
    )
    def test_of_any_json_is_read_or_refused_by_field(self, body):
        try:
            wanted = request_body.read(body, chips())
        except Invalid as refused:
            assert refused.fields
        else:
            assert 0 < wanted.members * max(wanted.devices_per_member, 1) * 1000 < 2**63


class TestRules:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"members": 0}, "members"),
            ({"members": 10_001}, "members"),
            ({"members": 10**30}, "members"),
            ({"members": True}, "members"),
            ({"members": 10_000, "devices_per_member": 1_000}, "members"),
            ({"devices_per_member": -1}, "devices_per_member"),
            ({"devices_per_member": 2**63}, "devices_per_member"),
            ({"lease_seconds": 0}, "lease_seconds"),
            ({"lease_seconds": -5}, "lease_seconds"),
            ({"lease_seconds": 2**63}, "lease_seconds"),
            ({"priority": 101}, "priority"),
            ({"share": {"milli": 0}}, "share.milli"),
            ({"share": {"milli": 1001}}, "share.milli"),
            ({"share": {"milli": 250, "memory_mib": 999_999}, "any_of": [{"model": H100}]}, "share.memory_mib"),
            ({"share": {"milli": 250}, "any_of": [{"model": H100, "profile": "1g.10gb"}]}, "share"),
            ({"any_of": []}, "any_of"),
            ({"any_of": [{}]}, "any_of[0]"),
            ({"any_of": [{"model": H100, "vendor": "nvidia"}]}, "any_of[0].vendor"),
            ({"any_of": [{"model": H100, "profile": "1g.11gb"}]}, "any_of[0].profile"),
            ({"any_of": [{"vendor": "nvidia", "memory_mib_min": 10**6}]}, "any_of[0]"),
            ({"any_of": [{"model": H100}] * 17}, "any_of"),
            ({"mode": "hold"}, "hold_seconds"),
            ({"hold_seconds": 5}, "hold_seconds"),
            ({"min_run_seconds": 86_401}, "min_run_seconds"),
            ({"max_price_per_hour": "NaN"}, "max_price_per_hour"),
            ({"max_price_per_hour": -1}, "max_price_per_hour"),
            ({"start_at": "2026-11-25T12:00:00"}, "start_at"),
            ({"topology": {"spread": {"level": "pool"}}}, "topology.spread.level"),
            ({"topology": {"members": {"level": "Rack 1"}}}, "topology.members.level"),
            ({"pools": {"labels": "!a=b"}}, "pools.labels"),
            ({"access": {"ssh_keys": ["ssh-ed25519 AAAA\nssh-rsa BBBB"]}}, "access.ssh_keys[0]"),
            ({"target": {"server": {"a": 1}}}, "target.server"),
            ({"labels": {"a b": "c"}}, "labels.a b"),
            ({"project": None}, "project"),
            ({"name": "-x"}, "name"),
        ],
    )
    def test_refuse_what_makes_no_sense(self, changes, field):
        assert list(wrong(**changes)) == [field]

    def test_allow_ten_thousand_members_of_a_hundred_devices(self):
        assert read(members=10_000, devices_per_member=100).devices == 1_000_000

    def test_allow_cpu_alone_but_not_nothing(self):
        alone = {"devices_per_member": 0, "any_of": [], "topology": None}

        assert read(**alone, per_member={"cpu_milli": 1000}).devices == 0
        assert wrong(**alone, per_member=None) == {"per_member": "required"}
        assert wrong(**{**alone, "any_of": [{"model": H100}]}) == {"any_of": "not_allowed"}

    def test_know_models_that_no_catalogue_has(self):
        body = {**BODY, "any_of": [{"model": "acme-unlisted-x1"}]}

        assert request_body.read(body, chips(), other_models=["acme-unlisted-x1"])

    def test_refuse_to_start_in_the_past(self):
        wanted = want(start_at=datetime(2026, 1, 1, tzinfo=UTC))

        found = request_rules.mistakes(wanted, chips(), now=datetime(2026, 1, 2, tzinfo=UTC))

        assert [mistake.code for mistake in found] == ["in_the_past"]


class TestKind:
    def kind(self, wanted, known=(H100, A100)):
        return choices.kind(wanted, known, chips())

    def test_is_the_shape_of_a_member_and_the_models_that_would_do(self):
        wanted = want(devices_per_member=8, per_member=PerMember(cpu_milli=1000))

        assert self.kind(wanted) == Shape(1000, 0, 8, 1000, frozenset({H100}))

    def test_names_no_model_where_all_would_do(self):
        assert self.kind(want(any_of=(Choice(vendor="nvidia"),))).models == frozenset()

    def test_of_shares_and_pieces_is_the_part_they_take(self):
        assert self.kind(want(share=Share(milli=250))).milli == 250
        assert self.kind(want(any_of=(Choice(model=H100, profile="1g.10gb"),))).milli == 142

    def test_is_equal_for_requests_that_differ_in_what_placement_does_not_see(self):
        assert self.kind(want(name="a", priority=1)) == self.kind(want(name="b", max_price_per_hour=Decimal(1)))


class TestStored:
    @given(
        members=st.integers(1, 4),
        share=st.sampled_from([None, Share(milli=250), Share(milli=250, memory_mib=4096)]),
        any_of=st.lists(st.sampled_from([Choice(model=H100), Choice(vendor="nvidia", memory_mib_min=1)]), max_size=2),
        topology=st.sampled_from([Topology(), Topology(spread=Level(level="rack"), avoid=Avoid(nodes=("n7",)))]),
        labels=st.dictionaries(st.sampled_from(["a", "policy"]), st.sampled_from(["b", ""])),
        price=st.sampled_from([None, Decimal("12.5")]),
    )
    def test_without_defaults_is_told_with_all_of_them(self, any_of, price, **fields):
        wanted = want(any_of=tuple(any_of), max_price_per_hour=price, **fields)

        stored = msgspec.json.Encoder(decimal_format="string").encode(wanted)
        told = complete(msgspec.json.decode(stored))

        assert told.keys() == set(Wanted.__struct_fields__)
        assert told["topology"].keys() == set(Topology.__struct_fields__)
        assert all(choice.keys() == set(Choice.__struct_fields__) for choice in told["any_of"])
        assert msgspec.json.decode(stored, type=Wanted) == wanted == msgspec.convert(told, Wanted)

    def test_holds_no_more_than_was_asked_for(self):
        assert msgspec.json.decode(msgspec.json.encode(Wanted(members=2, topology=Topology()))) == {
            "members": 2,
            "topology": {},
        }

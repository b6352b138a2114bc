"""Bugs that other control planes had in public, one test each: what is asked for by REST, and what comes of it."""

import pytest
from django.utils import timezone

from pools.models import Allocation, Capacity, ChipModel, Claim, Device, LedgerEvent, PoolSync
from tests.api.tenants import caller
from tests.factories import Shows, device, granted, holding, node, person, pool, project, synced
from tests.services.asking import H100, PLENTY, World, quota

pytestmark = pytest.mark.django_db(transaction=True)
ONE = {"project": "acme/vision", "any_of": [{"model": H100}]}


@pytest.fixture
def world():
    return seen(World())


def seen(world):
    PoolSync.objects.update(observed_at=timezone.now(), health="online")
    return world


@pytest.fixture
def engineer(world):
    ed = person("ed")
    project("acme/vision", member=ed)
    return caller(ed)


@pytest.fixture
def root():
    return caller(person("root", "admin"))


def refused(answer, code, field=None):
    assert answer.status_code in (409, 422) and answer.data["code"] == code, answer.data
    assert field is None or field in {wrong["field"] for wrong in answer.data["errors"]}, answer.data
    return True


def nothing_is_claimed():
    return not Allocation.objects.exists() and all(row.free_milli == row.total_milli for row in Capacity.objects.all())


class TestCapacity:
    @pytest.mark.parametrize("field", ["capacity", "total_milli", "free_milli", "milli", "pool", "price_per_hour"])
    def test_supplied_by_the_client_is_refused(self, engineer, field):
        assert refused(engineer.post("/allocations", ONE | {field: 10**6}), "request.invalid", field)
        assert nothing_is_claimed()

    def test_supplied_with_a_pool_is_refused(self, root, world):
        much = [{"model": H100, "total_milli": 10**9}]
        body = {"name": "mine", "kind": "simulated", "settings": {}, "capacity": much}

        assert refused(root.post("/pools", body), "request.invalid", "capacity")
        patched = root("PATCH", f"/pools/{world.pool.id}", {"capacity": much})
        assert refused(patched, "request.invalid", "capacity")

    def test_of_two_link_groups_with_four_free_each_is_no_group_of_eight(self, engineer, world):
        groups = [device(f"d{i}", index=i, link_group="a" if i < 4 else "b") for i in range(8)]
        world.show(holding("n0", *groups))
        seen(world)
        near = {"topology": {"devices": {"level": "link-group", "required": True}}}

        assert refused(engineer.post("/allocations", ONE | near | {"devices_per_member": 8}), "allocation.no_capacity")
        assert engineer.post("/allocations", ONE | near | {"devices_per_member": 4}).status_code == 201

    def test_that_is_enough_in_sum_and_for_no_member_is_not_enough(self, engineer, world):
        world.show(*[node(f"n{i}", devices=3) for i in range(4)])
        seen(world)

        answer = engineer.post("/allocations", ONE | {"members": 3, "devices_per_member": 4})

        assert refused(answer, "allocation.no_capacity") and nothing_is_claimed()

    def test_of_another_pool_is_checked_like_that_of_the_first(self, engineer, world):
        """What moved there skipped the check."""
        other = granted(pool("other"), world.project)
        world.pool = other
        world.show(holding("m0", device("m0-0")))
        seen(world)
        in_other = ONE | {"pools": {"names": ["other"]}}
        assert engineer.post("/allocations", in_other).status_code == 201

        assert refused(engineer.post("/allocations", in_other), "allocation.no_capacity")
        assert engineer.post("/allocations", ONE).data["pool"] == "lab"
        (held,) = Allocation.objects.filter(pool=other)
        assert engineer("PATCH", f"/allocations/{held.id}", {"pool": "lab"}).status_code == 405
        world.check()

    def test_that_two_pools_show_is_there_once(self, engineer, root, world):
        """Two pools over the same nodes gave each card out twice."""
        other = granted(pool("other"), world.project)
        synced(other, Shows(node("n0", devices=8, ref="the same")), world.clock)
        seen(world)
        in_other = ONE | {"pools": {"names": ["other"]}, "devices_per_member": 8}
        assert refused(engineer.post("/allocations", in_other), "allocation.no_capacity")
        assert engineer.post("/allocations", ONE | {"devices_per_member": 8}).data["pool"] == "lab"
        (card,) = Device.objects.filter(pool=other, uuid="GPU-n0-0")

        assert refused(root.post(f"/devices/{card.id}/give-out"), "device.promised")
        (held,) = Allocation.objects.filter(state="active")
        assert root.post(f"/allocations/{held.id}/release").status_code < 300
        given = [root.post(f"/devices/{each.id}/give-out") for each in Device.objects.filter(pool=other)]

        assert {(answer.status_code, answer.data["state"]) for answer in given} == {(200, "free")}
        assert refused(engineer.post("/allocations", ONE | {"pools": {"names": ["lab"]}}), "allocation.no_capacity")
        assert engineer.post("/allocations", in_other).data["pool"] == "other"
        world.check()


class TestAQuota:
    def test_is_counted_by_all_devices_of_which_a_fraction_is_asked(self, engineer, world):
        world.quota.nominal_milli = 1500
        world.quota.save()
        shares = ONE | {"share": {"milli": 500}}

        assert refused(engineer.post("/allocations", shares | {"devices_per_member": 4}), "quota.exceeded")
        assert engineer.post("/allocations", shares | {"devices_per_member": 3}).status_code == 201
        assert refused(engineer.post("/allocations", ONE | {"share": {"milli": 1}}), "quota.exceeded")
        assert world.used_milli() == 1500
        world.check()

    def test_is_charged_a_fraction_for_a_fraction(self, engineer, world):
        made = engineer.post("/allocations", ONE | {"share": {"milli": 250}})

        assert made.data["members"][0]["milli"] == 250 and world.used_milli() == 250
        assert {event.milli for event in LedgerEvent.objects.filter(allocation_id=made.data["id"])} == {250}
        assert Capacity.objects.get(kind="cards").free_milli == 7750

    def test_that_was_saved_is_enforced_from_the_next_request_on(self, engineer, root, world):
        limited = {"model": H100, "nominal_milli": 2000, "borrow_limit_milli": 0}
        assert engineer.post("/allocations", ONE).status_code == 201

        saved = root("PUT", "/projects/acme/vision/quotas", [limited])

        assert saved.status_code == 200 and saved.data["results"][0]["used_milli"] == 1000, saved.data
        assert engineer.post("/allocations", ONE).status_code == 201
        assert refused(engineer.post("/allocations", ONE), "quota.exceeded")

    def test_of_another_pool_gives_nothing_in_this_one(self, engineer, world):
        """A limit for a pool was saved, shown, and asked by nobody."""
        other = granted(pool("other"), world.project)
        world.quota.pools = [other.id]
        world.quota.save()

        assert refused(engineer.post("/allocations", ONE), "quota.exceeded")
        assert nothing_is_claimed()

    @pytest.mark.parametrize("number", [2**31, 2**63, 10**30, -1])
    def test_of_a_number_that_no_column_holds_is_refused_and_never_wraps(self, root, world, number):
        rows = [{"model": H100, "nominal_milli": number, "borrow_limit_milli": 0}]

        answer = root("PUT", "/projects/acme/vision/quotas", rows)

        if answer.status_code == 200:
            assert answer.data["results"][0]["nominal_milli"] == number
        else:
            assert answer.status_code == 422, answer.data


class TestANumber:
    @pytest.mark.parametrize("field", ["members", "devices_per_member", "lease_seconds", "hold_seconds", "priority"])
    @pytest.mark.parametrize("number", [-1, 2**31, 2**63, 10**30])
    def test_below_zero_or_absurd_is_refused_by_its_field(self, engineer, field, number):
        assert refused(engineer.post("/allocations", ONE | {field: number}), "request.invalid", field)
        assert nothing_is_claimed()

    def test_of_devices_multiplied_does_not_overflow(self, engineer):
        answer = engineer.post("/allocations", ONE | {"members": 10_000, "devices_per_member": 1_024})

        assert refused(answer, "request.invalid", "members")

    @pytest.mark.parametrize("share", [{"milli": -250}, {"milli": 0}, {"milli": 1001}, {"milli": 1, "memory_mib": -1}])
    def test_of_a_share_gives_nothing_back_by_a_sign(self, engineer, share):
        assert refused(engineer.post("/allocations", ONE | {"share": share}), "request.invalid")
        assert nothing_is_claimed()

    def test_of_ten_thousand_members_is_answered(self, engineer, world):
        answer = engineer.post("/allocations", ONE | {"members": 10_000})

        assert refused(answer, "allocation.no_capacity") and nothing_is_claimed()
        over = engineer.post("/allocations", ONE | {"members": 10_001})
        assert refused(over, "request.invalid", "members")


class TestALease:
    @pytest.mark.parametrize("seconds", [-86_400, -1, 0, 2**63, 10**30])
    def test_below_zero_or_absurd_neither_begins_nor_is_extended(self, engineer, seconds):
        assert refused(engineer.post("/allocations", ONE | {"lease_seconds": seconds}), "request.invalid")
        made = engineer.post("/allocations", ONE | {"lease_seconds": 3600}).data

        extended = engineer.post(f"/allocations/{made['id']}/extend", {"lease_seconds": seconds})

        assert refused(extended, "request.invalid", "lease_seconds")
        assert engineer.get(f"/allocations/{made['id']}").data["lease"] == made["lease"]


class TestADryRun:
    @pytest.mark.parametrize(
        "change",
        [
            {"any_of": [{"model": "h100"}]},
            {"members": 0},
            {"lease_seconds": -1},
            {"share": {"milli": 2000}},
            {"devices_per_member": 9},
            {"members": 2, "devices_per_member": 4},
            {"any_of": [{"model": H100, "profile": "9g.90gb"}]},
            {"project": "acme/nobody"},
            {"start_at": "2020-01-01T00:00:00Z"},
        ],
    )
    def test_is_refused_by_every_check_of_the_real_one(self, engineer, world, change):
        world.quota.nominal_milli = 6000
        world.quota.save()

        tried, real = (engineer.post(f"/allocations{query}", ONE | change) for query in ("?dry_run=1", ""))

        assert tried.status_code == real.status_code >= 400, (tried.data, real.data)
        told = ("code", "detail", "errors")
        assert [tried.data.get(name) for name in told] == [real.data.get(name) for name in told]
        assert nothing_is_claimed()

    def test_that_is_accepted_counts_nowhere(self, engineer, world):
        for _ in range(9):
            assert engineer.post("/allocations?dry_run=1", ONE).status_code == 201

        assert nothing_is_claimed() and world.used_milli() == 0 and not Claim.objects.exists()


class TestUnits:
    def test_of_a_total_quota_do_not_overflow_with_the_largest_factor(self, engineer, world):
        ChipModel.objects.filter(slug=H100).update(compute_unit_milli=2**31 - 1)
        quota(world.project.parent, None, PLENTY)
        quota(world.project, None, PLENTY)

        assert engineer.post("/allocations", ONE).status_code in (201, 409)
        world.check()

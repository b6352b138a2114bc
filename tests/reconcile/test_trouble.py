"""What goes wrong on platforms, through the whole pipeline: nothing lost, nothing doubled, a message with a way out."""

from contextlib import ExitStack

import pytest
import stamina
from django.db import connection

from connectors.contract import UseFact
from pools.domain.actors import Actor
from pools.models import Capacity, Device, InventoryChange, Node, Pool, PoolSync, SyncRun
from pools.reconcile import checks, inventory
from pools.services import pools
from tests.connectors.kubernetes import fleet as kubernetes_fleet
from tests.connectors.kubernetes.double import NODES, TOKEN, Cluster, recorded_answer
from tests.connectors.server import HTML, Answer, Authority, json_answer, serving
from tests.factories import Clock, Shows, device, holding, pool, synced
from tests.reconcile.far_end import Simulation, picture

pytestmark = pytest.mark.django_db(transaction=True)
ALICE = Actor(name="alice")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lab(tmp_path, clock):
    """Forty nodes in pages of ten, observed once."""
    lab = Simulation(tmp_path, clock, nodes=40, devices_per_node=4, page_size=10, used_percent=30)
    lab.sync_now()
    return lab


def tells_what_to_do(run):
    """Two sentences at least: what is wrong, and the way out."""
    return run.error["message"].count(". ") + run.error["message"].count("; ") >= 1


class TestASimulatedPool:
    """Every fault leaves the inventory as it was, and after it a run finds everything in order."""

    @pytest.mark.parametrize("when", ["before", "during"])
    @pytest.mark.parametrize(
        "code",
        ["unauthorized", "unreachable", "tls_untrusted", "dns_failed", "not_this_kind", "truncated", "timeout",
         "throttled", "server_error", "too_large", "forbidden", "bug"],
    )  # fmt: skip
    def test_with_a_fault_says_which_loses_nothing_and_goes_on_after_it(self, lab, clock, code, when):
        before, changes = picture(lab.pool), InventoryChange.objects.count()
        lab.store.fail(code, call="observe", when=when)

        run = lab.sync_now()

        assert (run.state, run.error["code"]) == ("failed", {"bug": "connector_bug"}.get(code, code))
        assert tells_what_to_do(run) and lab.sync.health == "degraded"
        assert picture(lab.pool) == before and InventoryChange.objects.count() == changes
        again = lab.sync_now()
        assert (again.state, again.unchanged, lab.sync.health) == ("succeeded", 200, "online")
        assert picture(lab.pool) == before

    @pytest.mark.parametrize("token", ["wrong", "expired"])
    def test_with_another_credential_gives_the_platforms_own_words(self, tmp_path, clock, token):
        draft = Simulation(tmp_path, clock, is_active=False)
        pools.replace_credential(
            pool_id=draft.pool.id, values={"token": f"{token}-and-secret"}, actor=ALICE, now=clock()
        )

        run = draft.sync_now(is_dry_run=True)

        assert (run.error["code"], run.error["platform_words"]) == (
            "unauthorized",
            f"the token is {token}",
        ) and tells_what_to_do(run)

    def test_that_is_another_far_end_is_refused_and_nothing_is_written(self, lab):
        before = picture(lab.pool)
        lab.knobs(identity="another-cluster")

        run = lab.sync_now()

        assert run.error["code"] == "identity_changed" and "Correct the address" in run.error["message"]
        assert picture(lab.pool) == before

    def test_whose_far_end_another_pool_stands_for_is_refused(self, lab, clock):
        pools.register(
            name="again", kind="simulated", settings=lab.pool.settings, credential={"token": "x"}, actor=ALICE,
            now=clock(),
        )  # fmt: skip
        again = Pool.objects.get(name="again")
        Pool.objects.filter(id=again.id).update(state="active")  # as one that was restored from a backup
        PoolSync.objects.filter(pool=again).update(next_at=clock())

        inventory.run(pool_id=again.id, clock=clock)

        run = SyncRun.objects.get(pool=again)
        assert (run.state, run.error["code"]) == ("failed", "identity_taken")
        assert not Node.objects.filter(pool=again).exists()

    def test_that_repeats_a_page_is_not_believed(self, lab):
        before = picture(lab.pool)
        lab.knobs(repeats_page=True)

        run = lab.sync_now()

        assert run.error["code"] == "repeated_page" and picture(lab.pool) == before

    def test_that_shows_nothing_where_forty_nodes_were_waits_for_a_person(self, lab):
        before = picture(lab.pool)
        lab.knobs(is_empty=True)

        run = lab.sync_now()

        assert (run.state, run.hold) == ("held", {"reason": "all_nodes", "nodes": 40, "devices": 160})
        assert picture(lab.pool) == before
        lab.heal()
        lab.sync_now()
        run.refresh_from_db()
        assert run.state == "rejected" and picture(lab.pool) == before

    def test_that_shows_the_same_card_on_two_nodes_counts_it_once(self, lab):
        lab.knobs(doubles_devices=True)

        run = lab.sync_now()

        assert run.state == "succeeded" and "counted once" in "".join(run.warnings)
        assert Device.objects.filter(pool=lab.pool, retired_at=None, missing_since=None).count() == 160
        assert sum(Capacity.objects.filter(pool=lab.pool, kind="cards").values_list("units", flat=True)) == 160

    def test_whose_card_moves_keeps_it_in_one_place(self, lab):
        first, second = lab.refs()[:2]
        card = Device.objects.get(pool=lab.pool, node__ref=first, index=0)
        with lab.changing() as state:
            state.world.moved[f"{first}/{card.ref}"] = second

        run = lab.sync_now()

        moved = Device.objects.get(uuid=card.uuid)
        assert (moved.id, moved.node.ref, moved.missing_since) == (card.id, second, None)
        assert run.missing == 0 and Device.objects.filter(pool=lab.pool).count() == 160
        assert InventoryChange.objects.get(run_id=run.id, action="moved").object_id == card.id
        assert lab.sync_now().unchanged == 200, "and then nothing is written"

    @pytest.mark.parametrize("to_the_left", [True, False])
    def test_whose_card_moves_while_a_run_is_cut_short_keeps_it_in_one_place(self, lab, monkeypatch, to_the_left):
        monkeypatch.setattr(inventory, "BATCH_NODES", 1)
        refs = [node.ref for node in sorted(Node.objects.filter(pool=lab.pool), key=lambda node: node.name)]
        source, target = (refs[30], refs[0]) if to_the_left else (refs[0], refs[30])
        card = Device.objects.get(pool=lab.pool, node__ref=source, index=1)
        with lab.changing() as state:
            state.world.moved[f"{source}/{card.ref}"] = target
        lab.store.fail("unreachable", call="observe", when="during")
        lab.sync_now()

        lab.sync_now()

        moved = Device.objects.get(uuid=card.uuid)
        assert (moved.node.ref, moved.missing_since) == (target, None)
        assert sum(Capacity.objects.filter(pool=lab.pool, kind="cards").values_list("units", flat=True)) == 160
        assert lab.sync_now().unchanged == 200

    def test_with_names_of_ten_kilobytes_is_stored_short_and_distinct(self, lab):
        lab.knobs(has_long_names=True)

        run = lab.sync_now()

        assert run.state == "succeeded" and "too long" in run.warnings[0]
        names = list(Node.objects.filter(pool=lab.pool).values_list("name", flat=True))
        assert len(set(names)) == 40 and max(map(len, names)) == 255
        assert lab.sync_now().unchanged == 200

    def test_with_negative_counts_is_not_believed(self, lab):
        before = picture(lab.pool)
        lab.knobs(has_negative_counts=True)

        run = lab.sync_now()

        assert run.error["code"] == "invalid_answer" and "memory_mib -1" in run.error["message"]
        assert tells_what_to_do(run) and picture(lab.pool) == before

    def test_whose_clock_is_ahead_is_observed_by_our_own(self, lab, clock):
        lab.knobs(clock_ahead_seconds=86400)

        run = lab.sync_now()

        assert run.state == "succeeded" and lab.sync.observed_at == clock()

    def test_that_drops_out_and_comes_back_is_the_same(self, lab, clock):
        before = picture(lab.pool)
        gone = lab.refs()[:3]
        with lab.changing() as state:
            state.world.gone.update(gone)
        lab.sync_now()
        assert Node.objects.filter(pool=lab.pool, missing_since=clock()).count() == 3

        lab.heal()
        lab.sync_now()

        assert picture(lab.pool) == before

    def test_that_tells_only_changes_ends_as_one_that_tells_all(self, tmp_path, clock):
        pictures = []
        for name, is_incremental in (("full", False), ("changes", True)):
            each = Simulation(tmp_path, clock, name, fleet=name, nodes=30, is_incremental=is_incremental)
            each.sync_now()
            refs = each.refs()
            with each.changing() as state:
                state.world.gone.add(refs[0])
                state.world.health[f"{refs[1]}/{Device.objects.filter(node__ref=refs[1])[0].ref}"] = "XID 79"
                path = f"{refs[2]}/{Device.objects.filter(node__ref=refs[2])[0].ref}"
                state.world.uses[path] = UseFact(holder="job", milli=500)
                state.world.cordoned[refs[3]] = "by hand"
            for _ in range(5):
                clock.forward(minutes=6)
                run = each.sync_now()
            assert run.kind == ("incremental" if is_incremental else "full")
            pictures.append(picture(each.pool))
            Device.objects.update(retired_at=clock.now)  # or the next pool would show the same cards

        full, changes = pictures
        assert full["sums"] == changes["sums"] and len(changes["nodes"]) == 29


class TestAKubernetesPool:
    """The faults of the way there, against a server that plays them."""

    @pytest.fixture
    def cluster(self):
        cluster = Cluster()
        for number in range(15):
            cluster.put(NODES, kubernetes_fleet.node("hami", number))
        return cluster

    @pytest.fixture
    def servers(self):
        with ExitStack() as servers, stamina.set_testing(True, attempts=3, cap=True):
            yield servers

    @pytest.fixture
    def site(self, cluster, servers, clock):
        """A synced pool, its server, and a way to sync it again."""
        server = servers.enter_context(serving(cluster))
        made = pools.register(
            name="k8s", kind="kubernetes", settings={"api_url": server.url, "page_size": 10},
            credential={"token": TOKEN}, actor=ALICE, now=clock(),
        )  # fmt: skip
        assert checks.run(pool_id=made.id, clock=clock)["reachable"]
        pools.activate(pool_id=made.id, actor=ALICE, now=clock())
        assert self.sync(made, clock).state == "succeeded"
        return made, server

    def sync(self, made, clock):
        PoolSync.objects.filter(pool=made).update(next_at=clock())
        return SyncRun.objects.get(id=inventory.run(pool_id=made.id, clock=clock))

    def assert_refused(self, made, clock, code):
        before = picture(made)
        run = self.sync(made, clock)
        assert (run.state, run.error["code"]) == ("failed", code), run.error
        assert tells_what_to_do(run) and picture(made) == before and len(before["nodes"]) == 15

    def moved_to(self, made, url, **settings):
        Pool.objects.filter(id=made.id).update(settings=made.settings | {"api_url": url} | settings)

    def test_with_an_expired_token(self, site, clock):
        made, server = site
        server.alter = lambda seen, known: recorded_answer("error_401_unauthorized")

        self.assert_refused(made, clock, "unauthorized")

    def test_that_is_not_there(self, site, clock, servers):
        made, server = site
        server.stop()

        self.assert_refused(made, clock, "unreachable")

    def test_with_a_certificate_that_nobody_trusts(self, site, clock, servers, cluster):
        made, _ = site
        server = servers.enter_context(serving(cluster, identity=Authority().identity()))
        self.moved_to(made, server.url)

        self.assert_refused(made, clock, "tls_untrusted")

    def test_whose_name_does_not_resolve(self, site, clock):
        made, _ = site
        self.moved_to(made, "http://no-such-host.invalid:6443")

        self.assert_refused(made, clock, "dns_failed")

    def test_behind_which_another_kind_of_server_answers(self, site, clock, servers):
        made, _ = site
        server = servers.enter_context(serving(lambda seen: json_answer({"versions": {"values": []}})))
        self.moved_to(made, server.url)

        self.assert_refused(made, clock, "not_this_kind")

    def test_behind_which_another_cluster_answers(self, site, clock, cluster):
        made, _ = site
        cluster.uid = "b5f3f3a0-0000-4000-8000-000000000002"

        self.assert_refused(made, clock, "identity_changed")

    def test_that_answers_with_a_web_page(self, site, clock):
        made, server = site
        server.alter = lambda seen, known: HTML if seen.path == NODES else known

        self.assert_refused(made, clock, "not_this_kind")

    @pytest.mark.parametrize("left", [0, 200], ids=["zero bytes", "cut in the middle"])
    def test_whose_page_has_no_end(self, site, clock, left):
        made, server = site

        def cut(seen, known):
            if seen.path != NODES or "continue" not in seen.query:
                return known
            return Answer(status=200, body=known.body[:left], headers=known.headers)

        server.alter = cut

        self.assert_refused(made, clock, "truncated")


class TestTheSameHardware:
    def test_shown_with_uuid_once_and_with_serial_once_is_one_card(self, clock):
        made = pool()
        synced(made, Shows(holding("a", device("x", uuid="GPU-1", serial="S1"))), clock)

        synced(made, Shows(holding("a", device("y", uuid=None, serial="S1"))), clock)
        synced(made, Shows(holding("a", device("y", uuid="GPU-1", serial=None))), clock)

        card = Device.objects.get(pool=made)
        assert (card.uuid, card.serial, card.ref, card.missing_since) == ("GPU-1", "S1", "y", None)

    def test_never_stands_at_two_positions(self, lab):
        refs = lab.refs()
        paths = [f"{ref}/{Device.objects.get(node__ref=ref, index=0).ref}" for ref in refs[:6]]
        for step in range(4):
            with lab.changing() as state:
                state.world.moved = {path: refs[(place + step) % 6 + 6] for place, path in enumerate(paths)}
            lab.sync_now()

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*), count(DISTINCT d.id) FROM device d JOIN capacity c ON c.id = d.capacity_id"
                " AND c.device_ids[d.position] = d.id WHERE d.pool_id = %s AND d.retired_at IS NULL",
                [lab.pool.id],
            )
            assert cursor.fetchone() == (160, 160)
        assert sum(Capacity.objects.filter(pool=lab.pool, kind="cards").values_list("units", flat=True)) == 160

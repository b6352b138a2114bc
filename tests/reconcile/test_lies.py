"""Numbers and characters that no column holds, through the whole pipeline: refused by name, or stored in another form.

Nothing of it may end as ``internal`` or ``database``: that would blame ocenter for what a platform said.
"""

import pytest
from msgspec.structs import replace

from connectors import session
from connectors.contract import CounterFact, Last, Transient
from connectors.facts import MAX_COUNT
from pools.models import Capacity, CapacityRollup, Device, Node, Pool, PoolSync, SyncRun
from pools.reconcile import inventory
from tests.factories import Clock, Shows, device, holding, node, pool, use
from tests.reconcile.far_end import picture

pytestmark = pytest.mark.django_db(transaction=True)
UNFIT = "a\x00b\ud800c"
COUNTER = CounterFact(ref="example.com/slice", model="NVIDIA H100 80GB HBM3", vendor="nvidia", total_units=4)


@pytest.fixture
def lab(monkeypatch):
    """A pool that was observed once, through the session that workers use; ``shows`` says what it shows next."""
    lab = pool(identity="far-end")
    clock = Clock()

    def shows(*nodes, last=None, error=None):
        far_end = Shows(*nodes, last=last)
        far_end.error = error
        monkeypatch.setattr(session, "_load", lambda kind, valid, outgoing, installation: far_end)
        PoolSync.objects.filter(pool=lab).update(next_at=clock())
        return SyncRun.objects.get(id=inventory.run(pool_id=lab.id, clock=clock))

    lab.shows = shows
    assert shows(node("a")).state == "succeeded"
    return lab


def lying(**changes):
    return holding("b", device("b-0", **changes))


def counting(**changes):
    return replace(node("b"), counters=(replace(COUNTER, **changes),))


class TestARunThatIsToldNonsense:
    @pytest.mark.parametrize(
        ("nonsense", "words"),
        [
            (node("b", cpu_milli=2**31), "node b has cpu_milli 2147483648"),
            (node("b", memory_mib=2**63), "memory_mib 9223372036854775808"),
            (lying(index=2**31), "device b-0 has index 2147483648"),
            (lying(numa_node=2**32), "numa_node 4294967296"),
            (lying(memory_mib=2**31), "memory_mib 2147483648"),
            (lying(total_milli=10**5000), "total_milli of 16610 bits"),
            (lying(uses=(use(milli=2**31),)), "use by somebody has milli 2147483648"),
            (counting(total_units=2**31), "total_units 2147483648"),
            (counting(total_units=3_000_000), "total_units * unit_milli 3000000 * 1000"),
            (counting(unit_memory_mib=2**30), "total_units * unit_memory_mib 4 * 1073741824"),
            (counting(faulty_units=2**40), "faulty_units 1099511627776"),
            (counting(uses=(use(memory_mib=2**31),)), "memory_mib 2147483648"),
        ],
    )
    def test_ends_as_invalid_answer_with_the_words_of_the_platform_and_writes_nothing(self, lab, nonsense, words):
        before = picture(lab)

        run = lab.shows(nonsense)

        assert (run.state, run.error["code"]) == ("failed", "invalid_answer")
        assert words in run.error["message"] and "allowed" in run.error["message"]
        assert picture(lab) == before

    @pytest.mark.parametrize("grain", ["device", "pool"])
    def test_stores_the_largest_that_it_lets_through_and_its_sums(self, lab, grain):
        Pool.objects.filter(id=lab.id).update(grain=grain)
        largest = dict.fromkeys(("cpu_milli", "memory_mib", "cpu_used_milli", "memory_used_mib"), MAX_COUNT)
        card = dict.fromkeys(("numa_node", "memory_mib", "total_milli"), MAX_COUNT)
        taken = (use(milli=MAX_COUNT, memory_mib=MAX_COUNT),) * 2
        counters = (
            replace(COUNTER, total_units=MAX_COUNT, unit_milli=1, unit_memory_mib=1, faulty_units=MAX_COUNT),
            CounterFact(ref="example.com/unknown", unit_milli=0, total_units=MAX_COUNT),
        )
        shown = [
            replace(
                holding(
                    name,
                    device(f"{name}-0", **card, index=MAX_COUNT, uses=taken),
                    device(f"{name}-1", **card),
                    device(f"{name}-2", **card),
                    **largest,
                ),
                counters=counters,
            )
            for name in ("b", "c", "d")
        ]

        run = lab.shows(node("a"), *shown)

        assert run.state == "succeeded", (run.error, run.hold)
        sums = CapacityRollup.objects.filter(pool=lab, kind="counter", is_advisory=grain == "pool", profile=None)
        assert sum(row.total_milli for row in sums) == 3 * MAX_COUNT
        assert Device.objects.get(ref="d-0").shadow_mib == MAX_COUNT
        assert Node.objects.get(name="d").unknown_resources == {"example.com/unknown": MAX_COUNT}

    def test_takes_a_negative_numa_node_for_none(self, lab):
        run = lab.shows(node("a"), lying(numa_node=-1))

        assert run.state == "succeeded" and run.warnings == []
        assert Device.objects.get(node__name="b").numa_node is None

    def test_stores_texts_without_characters_that_no_column_takes_and_finds_them_unchanged(self, lab):
        texts = dict.fromkeys(("vendor", "model", "pci_id", "serial", "pci_address", "profile"), UNFIT)
        card = device("b-0", **texts, health="faulty", health_reason=UNFIT, link_group=UNFIT, uuid=UNFIT,
                      uses=(use(UNFIT, marker=UNFIT),), attributes={UNFIT: UNFIT})  # fmt: skip
        shown = holding(UNFIT, card, labels={UNFIT: UNFIT}, topology={"rack": UNFIT}, unavailable_reason=UNFIT,
                        uuid=UNFIT, serial=UNFIT)  # fmt: skip
        counter = replace(COUNTER, ref=UNFIT, profile=UNFIT, uses=(use(UNFIT, marker=UNFIT),))
        shown = replace(shown, counters=(counter,))
        last = Last(complete=True, cursor={UNFIT: [UNFIT]})

        run = lab.shows(node("a"), shown, last=last)

        assert run.state == "succeeded", run.error
        assert sum("unprintable" in warning for warning in run.warnings) == 2, "the node, and the cursor"
        fit = "a\ufffdb\ufffdc"
        stored = Device.objects.get(uuid=fit)
        assert (stored.node.name, stored.node.labels, stored.uses[0]["marker"]) == (fit, {fit: fit}, fit)
        assert Capacity.objects.get(kind="counter", node=stored.node).uses[0]["holder"] == fit
        assert PoolSync.objects.get(pool=lab).cursor == {fit: [fit]}
        assert lab.shows(node("a"), shown, last=last).unchanged == run.seen

    def test_tells_an_error_without_such_characters_and_under_its_own_code(self, lab):
        run = lab.shows(error=Transient(f"It said {UNFIT}.", code="server_error", platform_words=UNFIT))

        assert run.error == {
            "code": "server_error",
            "message": "It said a\ufffdb\ufffdc.",
            "platform_words": "a\ufffdb\ufffdc",
        }

    def test_tells_why_it_was_incomplete_without_such_characters(self, lab):
        run = lab.shows(node("a"), last=Last(complete=False, incomplete_because=f"One region said {UNFIT}."))

        assert run.state == "succeeded" and "One region said a\ufffdb\ufffdc." in run.warnings
        assert PoolSync.objects.get(pool=lab).health_reason == "One region said a\ufffdb\ufffdc."

"""What holds for every read and request: nothing is overbooked, names mean nothing, the same read has one answer."""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pools.domain import changes, overlays, profiles, what_if
from pools.domain.decisions import Decision, Refusal
from pools.domain.planner import Draft, plan
from pools.domain.request import Choice, Level, PerMember, Share, Topology
from tests.domain.views import A100, H100, MIB, chips, counter, node, pool, view, want

MODELS = (H100, A100)
MILLI = st.sampled_from([0, 0, 250, 500, 750, 1000, 1000, 1000])


@st.composite
def nodes(draw, number, pools):
    free = draw(st.lists(MILLI, min_size=1, max_size=4))
    return node(
        number,
        free,
        of=draw(st.sampled_from(pools)),
        model=draw(st.sampled_from(MODELS)),
        mib=draw(st.sampled_from([MIB, 40_000])),
        groups=draw(st.lists(st.sampled_from(["", "a", "b"]), min_size=len(free), max_size=len(free))),
        domains={"rack": draw(st.sampled_from(["r1", "r2"]))},
        cpu_free_milli=draw(st.sampled_from([0, 4000, 64_000])),
    )


@st.composite
def reads(draw):
    size = draw(st.integers(1, 6))
    rows = [draw(nodes(number, [1, 2])) for number in range(1, size + 1)]
    promised = draw(st.booleans())
    if promised:  # the third pool promises a sum only
        advice = [replace(draw(nodes(number, [3])), model=H100, is_advisory=True) for number in range(20, 23)]
        units = draw(st.integers(0, 12))
        rows += [counter(90, units, total=12, of=3), *advice]
    return view(*rows, pools=(pool(1), pool(2, grain="node"), pool(3, grain="pool")))


LEVELS = st.none() | st.builds(Level, level=st.sampled_from(["node", "rack"]), required=st.booleans())


@st.composite
def requests(draw):
    choices = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=2, unique=True))
    form = draw(st.sampled_from(["whole", "whole", "share", "profile", "cpu"]))
    devices = 0 if form == "cpu" else draw(st.integers(1, 4))
    profile = draw(st.sampled_from(["1g.10gb", "3g.40gb"])) if form == "profile" else None
    return want(
        members=draw(st.integers(1, 5)),
        devices_per_member=devices,
        any_of=() if form == "cpu" else tuple(Choice(model=model, profile=profile) for model in choices),
        share=Share(milli=draw(st.sampled_from([100, 250, 400, 1000]))) if form == "share" else None,
        per_member=PerMember(cpu_milli=draw(st.sampled_from([1000 if form == "cpu" else 0, 2000]))),
        topology=Topology(
            members=draw(LEVELS),
            spread=draw(LEVELS),
            devices=draw(st.none() | st.builds(Level, level=st.just("link-group"), required=st.booleans())),
        ),
        policy=draw(st.sampled_from(["pack", "spread", "cheapest", "preferred"])),
    )


def assert_within(read, decision):
    """No card, counter or host gives more than it has, and pieces lie where the chip allows it."""
    rows = {row.capacity_id: row for row in read.candidates}
    milli, mib, cpu = Counter(), Counter(), Counter()
    pieces = defaultdict(list)
    for member in decision.members:
        assert member.pool_id == decision.pool_id
        for number, position in enumerate(member.positions):
            milli[member.capacity_id, position] += member.milli
            mib[member.capacity_id, position] += member.mib
            if member.starts:
                pieces[member.capacity_id, position].append(
                    profiles.Piece(profile=decision.profile, start=member.starts[number])
                )
        if member.host_id:
            cpu[member.host_id] += member.cpu_milli
    for row in rows.values():
        for card in row.cards:
            assert milli[row.capacity_id, card.position] <= card.free_milli
            assert mib[row.capacity_id, card.position] <= card.free_mib
            assert profiles.is_legal(chips()[row.model], (*card.pieces, *pieces[row.capacity_id, card.position]))
        if row.host_id:
            assert cpu[row.host_id] <= row.cpu_free_milli


class TestEveryDecision:
    @given(reads(), requests())
    @settings(max_examples=150, deadline=None)
    def test_stays_within_what_is_free_and_serves_all_members(self, read, request):
        answer = plan(read, request)

        if isinstance(answer, Decision):
            assert [member.index for member in answer.members] == list(range(request.members))
            assert answer.fragmentation_delta >= -1e-9
            assert all(len(m.positions) == request.devices_per_member for m in answer.members if m.node_id)
            assert_within(read, answer)
        else:
            assert {refusal.pool_id for refusal in answer.pools} == {each.id for each in read.pools}

    @given(reads(), requests())
    @settings(max_examples=60, deadline=None)
    def test_keeps_the_levels_that_were_required(self, read, request):
        answer = plan(read, request)

        if isinstance(answer, Decision) and request.members > 1:
            rows = {row.node_id: row for row in read.candidates}
            for level, is_near in ((request.topology.members, True), (request.topology.spread, False)):
                if level is None or not level.required:
                    continue
                found = [
                    m.node_id if level.level == "node" else rows[m.node_id].domains["rack"] for m in answer.members
                ]
                assert len(set(found)) == (1 if is_near else request.members)

    @given(reads(), st.lists(requests(), min_size=1, max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_of_a_draft_never_takes_what_an_earlier_one_took(self, read, asked):
        draft = Draft(read)

        for request in asked:
            foreseen, answer = draft.plan(request), draft.decide(request)
            assert foreseen == answer
            if isinstance(answer, Decision):
                assert_within(read, answer)
                read = overlays.after(read, answer)

    @given(reads(), requests())
    @settings(max_examples=60, deadline=None)
    def test_is_the_same_for_the_same_read_and_what_if_tells_it(self, read, request):
        answer = plan(read, request)

        assert answer == plan(read, request) == what_if.ask(read, request).answer

    @given(reads(), requests(), st.randoms(use_true_random=False))
    @settings(max_examples=60, deadline=None)
    def test_knows_nothing_of_names_and_the_order_of_rows_decides_only_ties(self, read, request, source):
        rows = list(read.candidates)
        source.shuffle(rows)
        other = replace(read, candidates=tuple(replace(row, node_name=f"x{row.node_name}") for row in rows))

        one, two = plan(read, request), plan(other, request)

        assert isinstance(one, Decision) == isinstance(two, Decision)
        if isinstance(one, Decision) and request.members == 1:
            assert one.score == two.score

    @given(reads(), requests())
    @settings(max_examples=60, deadline=None)
    def test_that_is_refused_fits_with_each_change_that_is_told(self, read, request):
        if isinstance(plan(read, request), Refusal):
            for change in changes.smallest(read, request):
                if change.patch:
                    assert isinstance(plan(read, changes.patched(request, change.patch)), Decision), change

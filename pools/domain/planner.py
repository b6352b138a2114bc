"""The decision: a pure function of one read, a request and a policy. Asked again, it answers the same.

A request is tried choice by choice; within a choice everything that fits is compared by the policy. ``plan`` answers
for one request. A ``Draft`` answers for many of one read, each after the ones before: bulk, gangs, queue, simulation.
"""

from collections.abc import Hashable, Iterator
from copy import copy
from itertools import islice
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from pools.domain import choices, counters, explanation, gangs, knowledge, policies, refusals
from pools.domain.board import Board
from pools.domain.candidates import View
from pools.domain.decisions import Decision, Placed, Refusal
from pools.domain.gangs import Site, Step
from pools.domain.groups import Index
from pools.domain.knowledge import Best
from pools.domain.lanes import Lane, Score
from pools.domain.policies import Policy
from pools.domain.request import Choice, Wanted
from pools.domain.rows import Need

_NO = Refusal(code="no_capacity", is_exhausted=False)
_TRIED = 8  # groups in which a gang is planned to the end: the best by their first member


class Rank(NamedTuple):
    """What one choice may use: a site for each pool and model, and lanes over all sites whose needs are alike.

    ``counted`` are those of the sites where the pool promises no node.
    """

    choice: Choice
    sites: tuple[Site, ...]
    counted: tuple[Site, ...]
    lanes: tuple[tuple[Lane, dict[int, Site]], ...]


class _Kind:
    """What all requests of a kind have in common. Every kind is one object."""

    __slots__ = ("policy", "ranks")

    def __init__(self, policy: Policy, ranks: tuple[Rank, ...]) -> None:
        self.policy, self.ranks = policy, ranks


class Found(Struct, frozen=True):
    """The places of all members in one site. Where the pool promises no node, what each takes of its counter."""

    site: Site
    steps: list[Step]
    score: Score
    each_milli: int = 0
    each_mib: int = 0


def plan(view: View, wanted: Wanted, policy: Policy | None = None) -> Decision | Refusal:
    """Decide one request. Without a policy it is the one that the request names."""
    return Draft(view).plan(wanted, policy)


class Draft:
    """Decisions on one read, one after another.

    It is faster without explanations (``is_explained``) and without the reasons of refusals (``tells_why``).
    """

    def __init__(self, view: View, *, is_explained: bool = True, tells_why: bool = True) -> None:
        self.view = view
        self.board = Board(view, knowledge.of(view.prices, view.chips))
        self.index = Index(self.board)
        counters.pack_unobserved(self.board, self.index)
        self._is_explained, self._tells_why = is_explained, tells_why
        self._kinds: dict[Hashable, _Kind] = {}
        self._refused: dict[tuple[_Kind, int], Refusal] = {}

    def brief(self) -> "Draft":
        """Return one without explanations and reasons that goes on from here: both take from one board."""
        other = copy(self)
        other._is_explained, other._tells_why, other._refused = False, False, {}
        return other

    def plan(self, wanted: Wanted, policy: Policy | None = None) -> Decision | Refusal:
        """Answer what ``decide`` would, and change nothing."""
        mark = self.board.mark()
        answer = self.decide(wanted, policy)
        self.board.rollback(mark)
        return answer

    def decide(self, wanted: Wanted, policy: Policy | None = None) -> Decision | Refusal:
        """Decide, and take the places: later requests find what is left. A refusal takes nothing."""
        kind = self._kind(wanted, policy)
        refused = (kind, wanted.members)
        if (refusal := self._refused.get(refused)) is not None:
            return refusal  # what is free only becomes less
        for number, rank in enumerate(kind.ranks):
            mark = self.board.mark()
            found = self._one(rank, wanted) if wanted.members == 1 else self._gang(rank, wanted)
            if found is not None:
                return self._decision(wanted, kind.policy, number, rank, found)
            self.board.rollback(mark)
        refusal = self._refused[refused] = self._refusal(wanted, kind) if self._tells_why else _NO
        return refusal

    def fits(self, wanted: Wanted, policy: Policy | None = None) -> bool:
        """Return whether ``plan`` would find places, which costs less than to find the best. Changes nothing."""
        return any(self._fits(rank, wanted) for rank in self._kind(wanted, policy).ranks)

    def _fits(self, rank: Rank, wanted: Wanted) -> bool:
        if wanted.members > 1:
            return any(self._places(rank, wanted))
        return any(lane.best() for lane, _ in rank.lanes) or any(self.tried(site, wanted) for site in rank.counted)

    def _refusal(self, wanted: Wanted, kind: "_Kind") -> Refusal:
        refused = [(rank.sites, self.index.refused(wanted, rank.choice, kind.policy)) for rank in kind.ranks]
        return refusals.explain(self.board, wanted, refused)

    def ranks(self, wanted: Wanted, policy: Policy) -> tuple[Rank, ...]:
        """Return what each choice of the request may use, in their order."""
        return self._kind(wanted, policy).ranks

    def _kind(self, wanted: Wanted, policy: Policy | None) -> "_Kind":
        """Return what is known of all requests that differ in nothing that has a say in where they go."""
        key = (
            wanted.any_of,
            wanted.members if wanted.members == 1 or wanted.max_price_per_hour is not None else None,
            wanted.devices_per_member,
            wanted.share,
            wanted.per_member,
            wanted.topology,
            wanted.pools,
            wanted.flavor,
            wanted.max_price_per_hour,
            (wanted.lease_seconds, wanted.hold_seconds) if self.index.has_bookings else None,
            policy or wanted.policy,
        )
        known = self._kinds.get(key)
        if known is None:
            policy = policy or policies.find(wanted.policy, wanted.pools.names or ())
            ranks = tuple([self._rank(wanted, choice, policy) for choice in choices.of(wanted)])
            known = self._kinds[key] = _Kind(policy, ranks)
        return known

    def _rank(self, wanted: Wanted, choice: Choice, policy: Policy) -> Rank:
        sites = tuple(Site(self.board, group, policy) for group in self.index.groups(wanted, choice, policy))
        by_need: dict[Need, list[Site]] = {}
        if wanted.members == 1:
            for site in sites:
                if site.group.counter is None:
                    by_need.setdefault(site.group.need, []).append(site)
        lanes = []
        for alike in by_need.values():
            members = [(slot, site.group.given) for site in alike for slot in site.group.slots]
            owners = {slot: site for site in alike for slot in site.group.slots}
            lanes.append((Lane(self.board, alike[0].ways, members), owners))
        return Rank(choice, sites, tuple([site for site in sites if site.group.counter is not None]), tuple(lanes))

    def _one(self, rank: Rank, wanted: Wanted) -> Found | None:
        """Take the best place of all for a single member."""
        if len(rank.lanes) == 1 and not rank.counted:  # as mostly
            lane, owners = rank.lanes[0]
            if (best := lane.best()) is None:
                return None
            score, number, how = best
            site = owners[self.board.slots[number].origin]
            return Found(site, [site.take_at(number, how)], score)
        least: tuple[Score, tuple[int, Best] | None, Site] | None = None
        for lane, owners in rank.lanes:
            if (best := lane.best()) is not None and (least is None or best[0] < least[0]):
                least = best[0], best[1:], owners[self.board.slots[best[1]].origin]
        for site in rank.counted:
            if (found := self.tried(site, wanted)) is not None and (least is None or found.score < least[0]):
                least = found.score, None, site
        if least is None:
            return None
        score, chosen, site = least
        if chosen is None:
            return self._in_site(site, wanted)
        return Found(site, [site.take_at(*chosen)], score)

    def _gang(self, rank: Rank, wanted: Wanted) -> Found | None:
        """Take places for all members in the site that wants them most; of many sites the likeliest are tried."""
        found = islice(self._places(rank, wanted), _TRIED)
        least = min(found, key=lambda each: each.score, default=None)
        return self._in_site(least.site, wanted) if least else None

    def _places(self, rank: Rank, wanted: Wanted) -> Iterator[Found]:
        """Yield how all members would lie in each site where they fit, the likeliest first."""
        open_sites = [
            (best[0], number)
            for number, site in enumerate(rank.sites)
            if (best := site.lane().best()) and site.lane().copies() >= wanted.members
        ]
        open_sites += [
            ((site.group.given, 0.0), number)
            for number, site in enumerate(rank.sites)
            if site.group.counter is not None and not site.group.slots
        ]
        for _, number in sorted(open_sites):
            if (found := self.tried(rank.sites[number], wanted)) is not None:
                yield found

    def tried(self, site: Site, wanted: Wanted) -> Found | None:
        """Return how all members would lie in one site, None when they do not fit there."""
        mark = self.board.mark()
        found = self._in_site(site, wanted)
        self.board.rollback(mark)
        return found

    def _in_site(self, site: Site, wanted: Wanted) -> Found | None:
        """Take places for all members in one site, and of the pool's counter where that is what is promised."""
        group = site.group
        steps: list[Step] | None = []
        if group.slots:
            steps = gangs.place(site, self.board, wanted)
        if steps is None:
            return None
        score = group.given, sum(step.best.score for step in steps)
        if group.counter is None:
            return Found(site, steps, score)
        each = counters.take(self.board, group, wanted.members, [step.best.taking for step in steps])
        return None if each is None else Found(site, steps, score, *each)

    def _decision(self, wanted: Wanted, policy: Policy, number: int, rank: Rank, found: Found) -> Decision:
        group, told = found.site.group, found.site.told
        members = self._on_counter(wanted, found) if group.counter is not None else self._on_nodes(found)
        is_alike = len(found.steps) == 1 and group.counter is None and not self._is_explained
        if is_alike and (alike := told.get(found.steps[0].state)) is not None:
            return replace(alike, members=members)
        price = group.price_per_hour
        given, score = found.score
        decision = Decision(
            pool_id=group.pool.id,
            model=group.model or None,
            profile=group.need.profile or None,
            devices_per_member=wanted.devices_per_member,
            members=members,
            milli=sum([placed.milli * len(placed.positions) for placed in members]),
            score=given + score,
            fragmentation_delta=sum([step.best.loss for step in found.steps]),
            price_per_hour=None if price is None else price * wanted.members,
            explanation=explanation.explain(self.board, policy, number, found.site, found.steps, rank.sites)
            if self._is_explained
            else explanation.brief(policy.name, group.pool.grain, self.view.prices_version, number),
        )
        if is_alike:
            told[found.steps[0].state] = decision
        return decision

    def _on_nodes(self, found: Found) -> tuple[Placed, ...]:
        need, placed = found.site.group.need, []
        for index, step in enumerate(found.steps):
            row, taking = self.board.slots[step.slot].candidate, step.best.taking
            is_on_host = bool(need.cpu_milli or need.memory_mib)
            placed.append(
                Placed(
                    index=index,
                    pool_id=row.pool_id,
                    capacity_id=row.capacity_id if step.positions else None,
                    node_id=row.node_id,
                    node_name=row.node_name,
                    positions=step.positions,
                    starts=taking.starts,
                    milli=taking.milli,
                    mib=taking.mib,
                    host_id=row.host_id if is_on_host else None,
                    cpu_milli=need.cpu_milli,
                    memory_mib=need.memory_mib,
                )
            )
        return tuple(placed)

    def _on_counter(self, wanted: Wanted, found: Found) -> tuple[Placed, ...]:
        row = self.view.candidates[found.site.group.counter or 0]
        # What is asked of hosts is passed on to the platform; no host's row is known to give it.
        return tuple(
            Placed(
                index=index,
                pool_id=row.pool_id,
                capacity_id=row.capacity_id,
                positions=(row.cards[0].position,),
                milli=found.each_milli,
                mib=found.each_mib,
                cpu_milli=wanted.per_member.cpu_milli,
                memory_mib=wanted.per_member.memory_mib,
            )
            for index in range(wanted.members)
        )

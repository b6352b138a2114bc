"""The smallest changes with which a refused request would fit. Each was planned on the same read before it is told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from pools.domain import choices, overlays, policies, quotas
from pools.domain.candidates import End, View
from pools.domain.decisions import Change, Decision
from pools.domain.planner import Draft
from pools.domain.policies import Policy
from pools.domain.request import Wanted

MOST: Final = 6
_MODELS_MOST: Final = 3
_FREED_MOST: Final = 64  # ends of claims that are looked at, the soonest first


class Short(NamedTuple):
    """How much quota is missing: milli-devices, or milli compute units where ``is_units``."""

    milli: int
    is_units: bool = False


def smallest(
    view: View,
    wanted: Wanted,
    policy: Policy | None = None,
    *,
    short: Short | None = None,
    tells_nodes: bool = True,
) -> tuple[Change, ...]:
    """Return changes that make the request fit, the smallest first, at most MOST.

    ``patch`` is a JSON merge patch of the request (RFC 7396); without one, others have to act. ``short`` is the quota
    that is missing where that is why it was refused: then every patch stays within the quota. Which node somebody
    would have to free is told where ``tells_nodes``.
    """
    draft = Draft(view, is_explained=False, tells_why=False)
    return found(draft, wanted, policy, short=short, tells_nodes=tells_nodes)


def found(
    draft: Draft, wanted: Wanted, policy: Policy | None = None, *, short: Short | None = None, tells_nodes: bool = True
) -> tuple[Change, ...]:
    """As ``smallest``, on a draft of the read that is there already and on which nothing is taken."""
    search = _Search(
        draft, wanted, policy or policies.find(wanted.policy, wanted.pools.names or ()), short, tells_nodes
    )
    return tuple(islice(search.changes(), MOST))


def patched(wanted: Wanted, patch: Mapping[str, Any]) -> Wanted:
    """Return the request with a merge patch applied. Raises msgspec.ValidationError for a patch of something else."""
    return msgspec.convert(_merged(msgspec.to_builtins(wanted), patch), Wanted)


def _merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(body) if isinstance(body, Mapping) else {}
    for name, value in patch.items():
        merged[name] = _merged(merged.get(name), value)
    return merged


class _Search:
    """One refused request, and one draft on which its variants are planned."""

    def __init__(self, draft: Draft, wanted: Wanted, policy: Policy, short: Short | None, tells_nodes: bool) -> None:
        self._draft, self._view, self._policy = draft, draft.view, policy
        self._wanted, self._short, self._tells_nodes = wanted, short, tells_nodes

    def changes(self) -> Iterator[Change]:
        if self._short:
            what = "compute units" if self._short.is_units else "devices"
            yield Change(code="quota", detail=f"{self._short.milli / 1000:g} more {what} of quota are needed.")
            yield from self._members()
            yield from self._devices()
            return
        yield from self._levels()
        yield from self._price()
        yield from self._selectors()
        if self._tells_nodes:
            yield from self._freed()
        yield from self._members()
        yield from self._devices()
        yield from self._share()
        yield from self._models()
        yield from self._ends()

    def _fits(self, patch: Mapping[str, Any]) -> bool:
        wanted = patched(self._wanted, patch)
        if self._short is None:
            return self._draft.fits(wanted, self._policy)
        answer = self._draft.plan(wanted, self._policy)
        return isinstance(answer, Decision) and self._is_within_quota(answer, self._short)

    def _is_within_quota(self, decision: Decision, short: Short) -> bool:
        before = self._draft.plan(self._wanted, self._policy)
        return isinstance(before, Decision) and (
            self._counted(decision, short) <= self._counted(before, short) - short.milli
        )

    def _counted(self, decision: Decision, short: Short) -> int:
        """What the quota that is missing counts of a decision."""
        if not short.is_units:
            return decision.milli
        entry = self._view.chips.get(decision.model or "")
        return quotas.compute_units(decision.milli, entry.compute_unit_milli if entry else quotas.UNIT_MILLI)

    def _try(self, code: str, detail: str, patch: dict[str, Any]) -> Iterator[Change]:
        if self._fits(patch):
            yield Change(code=code, detail=detail, patch=patch)

    def _most(self, bound: int, patch: Callable[[int], Mapping[str, Any]]) -> int:
        """Return the largest number with whose patch it fits: the bound itself, or found by halving. 0: none does."""
        fits, refused, middle = 0, bound + 1, bound
        while refused - fits > 1:
            fits, refused = (middle, refused) if self._fits(patch(middle)) else (fits, middle)
            middle = (fits + refused) // 2
        return fits

    def _levels(self) -> Iterator[Change]:
        """A level that is required could be preferred."""
        topology = self._wanted.topology
        for name, level in (("members", topology.members), ("devices", topology.devices), ("spread", topology.spread)):
            if level is not None and level.required:
                patch = {"topology": {name: {"required": False}}}
                yield from self._try("topology", f"Prefer the same {level.level} and do not require it.", patch)

    def _price(self) -> Iterator[Change]:
        if self._wanted.max_price_per_hour is not None:
            decision = self._draft.plan(patched(self._wanted, {"max_price_per_hour": None}), self._policy)
            if isinstance(decision, Decision) and decision.price_per_hour is not None:
                price = decision.price_per_hour
                patch = {"max_price_per_hour": str(price)}
                yield Change(code="price", detail=f"It fits for {price} per hour.", patch=patch)

    def _selectors(self) -> Iterator[Change]:
        wanted = self._wanted
        if wanted.topology.avoid.nodes or wanted.topology.avoid.pools:
            patch: dict[str, Any] = {"topology": {"avoid": {"nodes": [], "pools": []}}}
            yield from self._try("avoid", "It fits on what is to be avoided.", patch)
        for name in ("names", "kinds", "regions", "labels"):
            if getattr(wanted.pools, name) is not None:
                yield from self._try("selector", f"It fits in other pools: leave out {name}.", {"pools": {name: None}})

    def _members(self) -> Iterator[Change]:
        """Fewer members: as many as fit."""
        if fits := self._most(self._wanted.members - 1, lambda members: {"members": members}):
            yield Change(
                code="members", detail=f"{fits} of {self._wanted.members} members fit.", patch={"members": fits}
            )

    def _devices(self) -> Iterator[Change]:
        """Fewer devices for a member, with more members where that keeps the sum."""
        wanted = self._wanted
        # Where a member fits, one with fewer devices does. Of more members none has more.
        most = min(wanted.devices_per_member - 1, self._largest())
        fits = self._most(most, lambda devices: {"devices_per_member": devices})
        for devices in range(fits, 0, -1):
            if wanted.devices % devices == 0:
                members = wanted.devices // devices
                patch = {"devices_per_member": devices, "members": members}
                if self._fits(patch):
                    yield Change(code="devices", detail=f"{members} members of {devices} devices fit.", patch=patch)
                    return
        if fits:
            detail = f"Members of {fits} devices fit."
            yield Change(code="devices", detail=detail, patch={"devices_per_member": fits})

    def _largest(self) -> int:
        """More devices no member finds: each takes another card of one row, or at least a milli of a counter."""
        is_whole = self._wanted.share is None and not any(choice.profile for choice in self._wanted.any_of)
        most = 0
        for row in self._view.candidates:
            if row.kind != "cards":
                found = sum([card.free_milli for card in row.cards])
            elif len(row.cards) > most and is_whole:
                found = sum([card.free_milli == card.total_milli for card in row.cards])
            else:
                found = len(row.cards)
            most = max(most, found)
        return most

    def _share(self) -> Iterator[Change]:
        """A smaller share of a card, its memory in proportion."""
        share = self._wanted.share
        if share is None:
            return
        if fits := self._most(share.milli - 1, lambda milli: {"share": self._shrunk(milli)}):
            yield Change(code="share", detail=f"{fits} milli of a card fit.", patch={"share": self._shrunk(fits)})

    def _shrunk(self, milli: int) -> dict[str, Any]:
        share = self._wanted.share
        if share is None or share.memory_mib is None:
            return {"milli": milli}
        return {"milli": milli, "memory_mib": max(1, share.memory_mib * milli // share.milli)}

    def _models(self) -> Iterator[Change]:
        """Another model that there is and that fits as it is asked for."""
        wanted, chips = self._wanted, self._view.chips
        if not wanted.devices_per_member:
            return
        known = self._draft.index.models
        asked = {model for choice in choices.of(wanted) for model in choices.models(choice, known, chips)}
        profile = wanted.any_of[0].profile if wanted.any_of else None
        others = [model for model in known if model not in asked]
        told = 0
        for model in others:
            choice = {"model": model} if profile is None else {"model": model, "profile": profile}
            patch = {"any_of": [*msgspec.to_builtins(wanted.any_of), choice]}
            if self._fits(patch):
                yield Change(code="model", detail=f"It fits on {model}.", patch=patch)
                told += 1
                if told == _MODELS_MOST:
                    return

    def _freed(self) -> Iterator[Change]:
        """The node that lacks the fewest free devices of those that a single member needs."""
        wanted = self._wanted
        if wanted.members != 1 or wanted.share is not None or not wanted.devices_per_member:
            return
        found: list[tuple[int, int]] = []
        for rank in self._draft.ranks(wanted, self._policy):
            for site in rank.sites:
                for number in site.group.slots if site.group.need.form == "whole" else ():
                    row = self._view.candidates[number]
                    free = sum(card.free_milli == card.total_milli > 0 for card in row.cards)
                    live = row.units or sum(card.total_milli > 0 for card in row.cards)
                    if row.kind == "cards" and free < wanted.devices_per_member <= live:
                        found.append((wanted.devices_per_member - free, number))
        for missing, number in sorted(found)[:1]:
            rows = list(self._view.candidates)
            rows[number] = overlays.emptied(rows[number])
            if self._fits_in(replace(self._view, candidates=tuple(rows))):
                yield Change(code="free", detail=f"Free {missing} more on node {rows[number].node_name}.")

    def _ends(self) -> Iterator[Change]:
        """Claims that end: how long until enough of them have."""
        ends = sorted(self._view.ends, key=lambda end: end.in_seconds)[:_FREED_MOST]
        if not ends:
            return
        # Where nothing is booked, which comes nearer meanwhile, what all of them leave is the most that there will be.
        view = self._changed(ends)
        if not self._draft.index.has_bookings and not self._fits_in(overlays.freed(view, ends)):
            return
        fits, refused = len(ends) + 1, 0
        while fits - refused > 1:
            middle = (fits + refused) // 2
            is_fit = middle <= len(ends) and self._fits_in(overlays.freed(view, ends[:middle]))
            fits, refused = (middle, refused) if is_fit else (fits, middle)
        if fits <= len(ends):
            seconds = ends[fits - 1].in_seconds
            yield Change(code="wait", detail=f"It fits when leases end in {seconds} s.", patch={"queue": True})

    def _changed(self, ends: Sequence[End]) -> View:
        """The read, of which a single member needs only the rows to which something is given back: no other fits it.

        Where a pool promises no node, rows are not looked at one by one.
        """
        rows = self._view.candidates
        if self._wanted.members > 1 or any(row.node_id is None or row.is_advisory for row in rows):
            return self._view
        given = {end.capacity_id for end in ends}
        hosts = given | {row.host_id for row in rows if row.capacity_id in given and row.host_id is not None}
        near = tuple(row for row in rows if row.capacity_id in given or row.host_id in hosts)
        return replace(self._view, candidates=near)

    def _fits_in(self, view: View) -> bool:
        return Draft(view, is_explained=False, tells_why=False).fits(self._wanted, self._policy)

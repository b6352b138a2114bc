"""Which rows a choice of a request may use, pool by pool, and why the others may not."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

from msgspec import Struct

from pools.domain import choices, labels, prices
from pools.domain.board import Board
from pools.domain.candidates import Candidate, Form, PoolView
from pools.domain.decisions import PoolRefusal
from pools.domain.policies import Policy
from pools.domain.request import Choice, Wanted
from pools.domain.rows import FOREVER, Need

LINK_GROUP: Final = "link-group"


class Group(Struct, frozen=True, kw_only=True, eq=False):
    """Rows of one pool and model, and what a member needs of one. ``slots`` are numbers on the board.

    ``counter`` is the pool's own row that claims take from where the pool promises no node; its slots are then advice.
    ``price_per_hour`` is of one member. ``given`` is what the policy thinks of the pool and model.
    """

    pool: PoolView
    model: str
    need: Need
    slots: tuple[int, ...]
    counter: int | None = None
    price_per_hour: Decimal | None = None
    given: float = 0.0


class Index:
    """The rows of a board by pool and model."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._rows = board.view.candidates
        states = [board.known.row(state) for state in {slot.state for slot in board.slots}]
        self.has_bookings = any(
            row.booked_in_seconds < FOREVER or any(place.booked_in_seconds < FOREVER for place in row.places)
            for row in states
        )
        # Pools are told apart by their places in the view. Numbers are hashed faster than ids.
        self._places = {pool.id.int: place for place, pool in enumerate(board.view.pools)}
        self._by_pool: list[dict[str, list[int]]] = [{} for _ in board.view.pools]
        for number, row in enumerate(self._rows):
            self._by_pool[self._places[row.pool_id.int]].setdefault(row.model or "", []).append(number)
        self._taken_from: dict[tuple[int, str, str], tuple[int, ...]] = {}
        self._codes: dict[Hashable, dict[int, str]] = {}  # why pools as such do not do
        self._having: dict[str, list[int]] = {}  # pools by the model that they have
        for place, by_model in enumerate(self._by_pool):
            for model in by_model:
                self._having.setdefault(model, []).append(place)
        self.models = tuple(sorted({row.model for row in self._rows if row.model}))

    def groups(self, wanted: Wanted, choice: Choice, policy: Policy) -> list[Group]:
        """Return the groups of rows that the choice may use."""
        models = self._models(wanted, choice)
        having = self._having if not wanted.devices_per_member else models
        places = sorted({place for model in having for place in self._having.get(model, ())})
        return [group for _, own, _ in self._each(wanted, choice, policy, models, places) for group in own]

    def refused(self, wanted: Wanted, choice: Choice, policy: Policy) -> list[PoolRefusal]:
        """Return why the pools without such a group have none."""
        places = range(len(self._board.view.pools))
        found = self._each(wanted, choice, policy, self._models(wanted, choice), places)
        pools = self._board.view.pools
        return [
            PoolRefusal(pool_id=pools[place].id, code=code, nodes=self._nodes(place))
            for place, own, code in found
            if not own
        ]

    def _models(self, wanted: Wanted, choice: Choice) -> tuple[str, ...]:
        if not wanted.devices_per_member:
            return ("",)
        return choices.models(choice, self.models, self._board.view.chips)

    def _each(
        self, wanted: Wanted, choice: Choice, policy: Policy, models: Sequence[str], places: Iterable[int]
    ) -> Iterator[tuple[int, list[Group], str]]:
        """Yield each pool with its groups, and the reason where it has none."""
        form = choices.form(wanted, choice)
        terms = labels.requirements(wanted.pools.labels or "")
        needs = {model: self._need(wanted, choice, form, model) for model in models}
        codes = self._codes.setdefault(_asked_of_pools(wanted, form), {})
        for place in places:
            code = codes.get(place)
            if code is None:
                code = codes[place] = _refusal(wanted, self._board.view.pools[place], form, terms)
            own: list[Group] = []
            if not code:
                own, code = self._of_pool(wanted, choice, place, needs, policy)
            yield place, own, code

    def _need(self, wanted: Wanted, choice: Choice, form: Form, model: str) -> Need:
        known = self._board.known
        profile = known.profile(model, choice.profile)
        return choices.need(wanted, form, profile, known.chips.get(model), has_bookings=self.has_bookings)

    def advice(self, pool_id: UUID, model: str) -> list[int]:
        """Return the rows that only show whether a shape fits."""
        by_model = self._by_pool[self._places[pool_id.int]]
        return [number for number in by_model.get(model, ()) if self._rows[number].is_advisory]

    def _of_pool(
        self, wanted: Wanted, choice: Choice, place: int, needs: Mapping[str, Need], policy: Policy
    ) -> tuple[list[Group], str]:
        """Return the groups of a pool, and the reason where there are none."""
        found, code, pool = [], "no_model", self._board.view.pools[place]
        for model, need in needs.items():
            for counter, rows in self._usable(place, model, need):
                price = prices.per_member(pool, wanted.flavor, model, need)
                slots = tuple(rows)
                if wanted.topology.avoid.nodes:
                    slots = tuple(number for number in rows if not _is_avoided(self._rows[number], wanted))
                if wanted.max_price_per_hour is not None and (
                    price is None or price * wanted.members > wanted.max_price_per_hour
                ):
                    code = "price"
                elif counter is not None and len(slots) < len(rows):
                    code = "topology"  # nobody can promise which nodes of the pool are left alone
                elif not slots and rows:
                    code = "avoid"
                else:
                    found.append(
                        Group(
                            pool=pool,
                            model=model,
                            need=need,
                            slots=slots,
                            counter=counter,
                            price_per_hour=price,
                            given=policy.given(pool, _price_of_one(price, need)),
                        )
                    )
        if code == "no_model" and not found and self._is_ambiguous(choice, place):
            code = "grain_ambiguous"
        return found, code

    def _usable(self, place: int, model: str, need: Need) -> Iterator[tuple[int | None, Sequence[int]]]:
        """Yield the rows to choose from; where the pool promises no node, each of its counters and its advice."""
        by_model, pool = self._by_pool[place], self._board.view.pools[place]
        if need.form == "cpu":
            hosts = {self._rows[n].host_id: n for numbers in by_model.values() for n in reversed(numbers)}
            if usable := sorted(number for host, number in hosts.items() if host is not None):
                yield None, usable
            return
        if model not in by_model:
            return
        numbers = self._of_profile(place, model, need.profile)
        if pool.grain != "pool":
            if numbers:
                yield None, numbers
            return
        for counter in numbers:
            row = self._rows[counter]
            if row.node_id is None:
                same = (row.profile, row.resource)
                yield counter, [n for n in self.advice(pool.id, model) if self._words(n) == same]

    def _of_profile(self, place: int, model: str, profile: str) -> tuple[int, ...]:
        """Return the rows of a model that may hold a profile, of which claims take: found once for many requests."""
        known = self._taken_from.get((place, model, profile))
        if known is None:
            is_counted = self._board.view.pools[place].grain == "pool"
            # Where a platform only counts, nobody can have a card cut: a piece is one that is counted as such.
            of_cards = (profile,) if is_counted else ("", profile)
            numbers = [
                number
                for number in self._by_pool[place].get(model, ())
                if (self._profile(number) if self._rows[number].profile else "") in of_cards
            ]
            if not is_counted:
                numbers = [n for n in numbers if self._rows[n].node_id is not None and not self._rows[n].is_advisory]
            known = self._taken_from[place, model, profile] = tuple(numbers)
        return known

    def _profile(self, number: int) -> str:
        return self._board.known.profile(self._rows[number].model, self._rows[number].profile)

    def _words(self, number: int) -> tuple[str | None, str]:
        return self._rows[number].profile, self._rows[number].resource

    def _is_ambiguous(self, choice: Choice, place: int) -> bool:
        """Whether the pool has a resource that may be this model and says for several alike."""
        unnamed = self._by_pool[place].get("", ())
        if not unnamed:
            return False
        entries = self._board.view.chips.values()
        meant = [e for e in entries if choice.model in (None, e.slug) and choice.vendor in (None, e.vendor)]
        names = {name for entry in meant for name in (*entry.resource_names, *entry.vendor_resource_names)}
        return any(self._rows[number].resource in names for number in unnamed)

    def _nodes(self, place: int) -> int:
        numbers = (number for numbers in self._by_pool[place].values() for number in numbers)
        return sum(self._rows[number].alike for number in numbers if self._rows[number].node_id is not None)


def _asked_of_pools(wanted: Wanted, form: Form) -> Hashable:
    """All of a request that has a say in whether a pool as such does."""
    return form, wanted.pools, wanted.topology, wanted.members == 1, wanted.devices_per_member > 1


def _refusal(wanted: Wanted, pool: PoolView, form: Form, terms: Sequence[labels.Requirement]) -> str:
    """Return why a pool as such does not do, "" when it does."""
    selector, avoid = wanted.pools, wanted.topology.avoid
    names = (pool.name, str(pool.id))
    if not pool.is_granted:
        return "not_granted"
    if (
        (selector.names is not None and not any(name in selector.names for name in names))
        or (selector.kinds is not None and pool.kind not in selector.kinds)
        or (selector.regions is not None and pool.region not in selector.regions)
        or not labels.hold(terms, pool.labels)
    ):
        return "selector"
    if any(name in avoid.pools for name in names):
        return "avoid"
    if pool.state != "active":
        return "not_active"
    if pool.is_stale:
        return "stale_pool"
    if form not in pool.forms or (form == "cpu" and pool.grain == "pool"):
        return "not_offered"
    return "" if _is_promised(wanted, pool) else "topology"


def _is_promised(wanted: Wanted, pool: PoolView) -> bool:
    """Whether the pool's grain is fine enough for the levels that are required."""
    topology = wanted.topology
    if topology.devices and topology.devices.required and wanted.devices_per_member > 1 and pool.grain != "device":
        return False
    if pool.grain != "pool" or wanted.members == 1:
        return True
    near, far = topology.members, topology.spread
    is_near = not (near and near.required) or near.level == "pool" or (near.level == "region" and bool(pool.region))
    return is_near and not (far and far.required)


def _is_avoided(row: Candidate, wanted: Wanted) -> bool:
    avoided = wanted.topology.avoid.nodes
    return row.node_name in avoided or str(row.node_id) in avoided


def _price_of_one(price: Decimal | None, need: Need) -> Decimal | None:
    return None if price is None else price / max(need.devices, 1)

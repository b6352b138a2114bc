"""A working copy of one read, in which requests take their places one after another without reading again."""

from functools import cached_property
from uuid import UUID

from msgspec import Struct

from pools.domain.candidates import Candidate, View
from pools.domain.knowledge import Best, Knowledge


class Slot(Struct, eq=False):
    """One row on the board: its state now and which position each of its places is. ``origin`` is its first number.

    ``count`` is how many such rows there are: an advisory row can stand for many nodes, of which each is taken alone.
    ``changes`` are numbers of slots of its model, in the order in which their states changed.
    """

    origin: int
    candidate: Candidate
    state: int
    positions: tuple[int, ...]
    count: int
    changes: list[int]


class Board:
    """The rows of a read, by state: equal rows are in one state, whose number ``known`` explains."""

    def __init__(self, view: View, known: Knowledge) -> None:
        self.view = view
        self.known = known
        self.slots: list[Slot] = []
        self.splits: dict[int, list[int]] = {}  # the slots that were split off from an advisory one
        self._undo: list[tuple[int, int, tuple[int, ...], int]] = []
        changes: dict[str | None, list[int]] = {}  # by model: few requests look at rows of many
        for number, candidate in enumerate(view.candidates):
            state, positions = known.read(candidate)
            count = candidate.alike if candidate.is_advisory else 1
            of_model = changes.setdefault(candidate.model, [])
            self.slots.append(Slot(number, candidate, state, positions, count, of_model))

    @cached_property
    def _same_host(self) -> dict[UUID | None, list[int]]:
        """The rows of each host that is known. Most requests take nothing of hosts."""
        found: dict[UUID | None, list[int]] = {}
        for number, candidate in enumerate(self.view.candidates):
            if candidate.host_id is not None and not candidate.is_advisory:
                found.setdefault(candidate.host_id, []).append(number)
        return found

    def take(self, number: int, best: Best) -> int:
        """Take from a row; other rows of its host have so much less CPU and memory. Returns the slot that changed."""
        slot = self.slots[number]
        before, after = self.known.row(slot.state), best.taking.row
        if slot.count > 1:
            self._undo.append((number, slot.state, slot.positions, slot.count))
            slot.count -= 1
            number = len(self.slots)
            slot = Slot(slot.origin, slot.candidate, slot.state, slot.positions, 1, slot.changes)
            self.slots.append(slot)
            self.splits.setdefault(slot.origin, []).append(number)
            self._undo.append((number, slot.state, slot.positions, 0))  # undone, there is no such row
        positions = slot.positions
        self._set(number, best.after, tuple([positions[place] for place in best.taking.order]))
        if before.cpu_milli != after.cpu_milli or before.memory_mib != after.memory_mib:
            for other in self._same_host.get(slot.candidate.host_id, ()):
                if other != number:
                    row = self.known.row(self.slots[other].state)
                    less = row._replace(
                        cpu_milli=after.cpu_milli,
                        memory_mib=after.memory_mib,
                        cpu_later_milli=after.cpu_later_milli,
                        memory_later_mib=after.memory_later_mib,
                    )
                    self._set(other, self.known.number(less), self.slots[other].positions)
        return number

    def mark(self) -> int:
        """Return a point to roll back to."""
        return len(self._undo)

    def rollback(self, mark: int) -> None:
        """Undo what was taken since the mark."""
        while len(self._undo) > mark:
            number, state, positions, count = self._undo.pop()
            slot = self.slots[number]
            slot.state, slot.positions, slot.count = state, positions, count
            slot.changes.append(number)

    def _set(self, number: int, state: int, positions: tuple[int, ...]) -> None:
        slot = self.slots[number]
        self._undo.append((number, slot.state, slot.positions, slot.count))
        slot.state, slot.positions = state, positions
        slot.changes.append(number)

"""The rows that one kind of request may use, the best first."""

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush

from pools.domain.board import Board
from pools.domain.knowledge import Best, Ways

Score = tuple[float, float]
"""Less is better: first what the policy thinks of pool and model, then of the placement."""


class _Followed:
    """Changes of one model's rows, and how many of them were seen."""

    __slots__ = ("changes", "seen")

    def __init__(self, changes: list[int]) -> None:
        self.changes, self.seen = changes, len(changes)


class Lane:
    """A queue of rows that follows the changes of its board; only rows that changed are looked at again."""

    def __init__(self, board: Board, ways: Ways, members: Iterable[tuple[int, float]]) -> None:
        """``members`` are numbers of slots with what the policy thinks of their pool and model."""
        self.ways = ways
        self._board = board
        self._given = dict(members)
        self._heap: list[tuple[float, float, int, int]] = []
        self._followed: list[_Followed] = []
        slots, best_of, changes = board.slots, ways.best, None
        for number, given in self._given.items():
            slot = slots[number]
            if slot.count and (best := best_of(slot.state)) is not None:
                self._heap.append((given, best.score, number, slot.state))
            if slot.changes is not changes:  # rows of a model mostly come together
                changes = slot.changes
                if all(each.changes is not changes for each in self._followed):
                    self._followed.append(_Followed(changes))
        heapify(self._heap)

    def best(self) -> tuple[Score, int, Best] | None:
        """Return score, slot and how to take from it; of equal ones the first. None when nothing fits."""
        slots, heap, best_of = self._board.slots, self._heap, self.ways.best
        for each in self._followed:
            if each.seen < len(each.changes):
                for number in set(each.changes[each.seen :]):
                    slot = slots[number]
                    given = self._given.get(slot.origin)
                    if given is not None and slot.count and (best := best_of(slot.state)) is not None:
                        heappush(heap, (given, best.score, number, slot.state))
                each.seen = len(each.changes)
        while heap:
            given, score, number, state = heap[0]
            slot = slots[number]
            if slot.state == state and slot.count and (best := best_of(state)) is not None:
                return (given, score), number, best
            heappop(heap)
        return None

    def runner_up(self, taken: Collection[int], states: Collection[int]) -> tuple[Score, int] | None:
        """Return score and slot of the best row but those taken and those in these states."""
        others = (number for number in self._given if number not in taken)
        entries = [entry for number in others if (entry := self._entry(number)) and entry[3] not in states]
        if not entries:
            return None
        given, score, number, _ = min(entries)
        return (given, score), number

    def copies(self) -> int:
        """Return how many members find a place, one after another. Rows of one host may promise the same CPU twice."""
        board = self._board
        numbers = (number for origin in self._given for number in (origin, *board.splits.get(origin, ())))
        return sum(board.slots[number].count * self.ways.copies(board.slots[number].state) for number in numbers)

    def __len__(self) -> int:
        return len(self._given)

    def _entry(self, number: int) -> tuple[float, float, int, int] | None:
        slot = self._board.slots[number]
        best = self.ways.best(slot.state)
        if best is None or not slot.count:
            return None
        return self._given[slot.origin], best.score, number, slot.state

"""Whether a log is what was sealed. Pure: rows and seals come in their order, each is looked at once."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import zip_longest
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from pools.domain import merkle
from pools.domain.errors import gettext_noop
from pools.domain.seals import NO_ROOT, Row, Seal, SealHead

BACKDATED_BY: Final = timedelta(days=1)
"""A row that claims to be this much older than the seal before its own: no transaction lasts as long."""
_REMEMBERED: Final = 100

SENTENCES: Final = {
    "row_changed": gettext_noop("Row %(row)s of %(stream)s, sealed in %(seal)s, was changed."),
    "row_deleted": gettext_noop("Row %(row)s of %(stream)s, sealed in %(seal)s, was deleted."),
    "row_inserted": gettext_noop("Row %(row)s of %(stream)s was inserted among those sealed in %(seal)s."),
    "row_backdated": gettext_noop(
        "Row %(row)s of %(stream)s, sealed in %(seal)s, says it is more than a day older than the seal before."
    ),
    "seal_changed": gettext_noop("Seal %(seal)s of %(stream)s was changed: its leaves do not make its root."),
    "seal_unlinked": gettext_noop("Seal %(seal)s of %(stream)s does not follow the seal before it."),
    "seal_unsigned": gettext_noop("Seal %(seal)s of %(stream)s has no valid signature by a known key."),
    "seal_deleted": gettext_noop("Seal %(seal)s of %(stream)s was deleted."),
    "seal_lost": gettext_noop("Seal %(seal)s of %(stream)s was there with another root or is gone."),
    "counter_behind": gettext_noop(
        "The database counts transactions anew since seal %(seal)s of %(stream)s, so nothing is sealed."
    ),
    "drop_unsigned": gettext_noop(
        "Row %(row)s of %(stream)s says that months were dropped and has no valid signature by a known key."
    ),
}
"""What is wrong, by kind; `manage.py verify` and the console say it with row, stream and seal."""


class LogFinding(Struct, frozen=True, kw_only=True):
    """What is wrong: the first of its kind by row and seal, and how many there are of the kind."""

    kind: str
    stream: str
    seal: int | None
    row: int | None
    count: int
    detail: str


class LogResult(Struct, frozen=True, kw_only=True):
    """What the check of a stream found.

    ``rows`` are sealed ones that are there; ``head`` is None without any seal; ``gone_through`` is the last month whose
    rows were dropped because their time was over.
    """

    stream: str
    rows: int
    seals: int
    head: SealHead | None
    gone_through: date | None
    unsealed_rows: int
    unsealed_since_at: datetime | None
    findings: list[LogFinding]


class Known(NamedTuple):
    """A seal that is known from elsewhere, so that the chain must have it."""

    number: int
    root: str


class LogFindings:
    """The first of each kind, and their count."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._found: dict[str, LogFinding] = {}

    def add(self, kind: str, *, seal: int | None = None, row: int | None = None, count: int = 1) -> None:
        first = self._found.get(kind)
        if first is None:
            detail = SENTENCES[kind] % {"stream": self._stream, "seal": seal, "row": row}
            first = LogFinding(kind=kind, stream=self._stream, seal=seal, row=row, count=0, detail=detail)
        self._found[kind] = msgspec.structs.replace(first, count=first.count + count)

    def all(self) -> list[LogFinding]:
        return list(self._found.values())


class _Rows:
    """Rows of which the next can be looked at before it is taken."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)

    def until(self, place: tuple[int, int], *, with_it: bool) -> Iterator[Row]:
        while (row := self._next) is not None and ((row.xid, row.id) < place or (with_it and row[:2] == place)):
            self._next = next(self._rows, None)
            yield row

    def rest(self) -> Iterator[Row]:
        while (row := self._next) is not None:
            self._next = next(self._rows, None)
            yield row


class _Misplaced:
    """Rows that are not where they belong. One that was moved within the log is changed, not deleted and inserted."""

    def __init__(self) -> None:
        self.absent: dict[int, int] = {}
        self.strange: dict[int, int] = {}
        self._counts = {"absent": 0, "strange": 0}

    def note(self, kind: str, row: int, seal: int) -> None:
        kept: dict[int, int] = getattr(self, kind)
        self._counts[kind] += 1
        if len(kept) < _REMEMBERED:
            kept.setdefault(row, seal)

    def tell(self, findings: LogFindings) -> None:
        moved = self.absent.keys() & self.strange.keys()
        for row in sorted(moved):
            findings.add("row_changed", row=row, seal=self.absent[row])
        for kind, finding in (("absent", "row_deleted"), ("strange", "row_inserted")):
            left = {row: seal for row, seal in getattr(self, kind).items() if row not in moved}
            if left:
                row = next(iter(left))
                findings.add(finding, row=row, seal=left[row], count=self._counts[kind] - len(moved))


def check(
    stream: str,
    seals: Iterable[Seal],
    rows: Iterable[Row],
    *,
    gone_through: date | None,
    is_signed: Callable[[Seal], bool],
    known: Collection[Known] = (),
) -> LogResult:
    """Compare a stream's rows, in the order of (xid, id), with its seals, in the order of their numbers.

    ``gone_through`` is the last month whose rows may be gone; ``known`` are seals that must be there. Memory: one seal.
    """
    findings, misplaced, ahead = LogFindings(stream), _Misplaced(), _Rows(rows)
    roots: dict[int, str] = {}
    row_count, seal_count, last = 0, 0, None
    for seal in seals:
        if not _continues(seal, last, findings):
            for _ in ahead.until(seal.begin, with_it=False):
                pass  # what the missing seals stood for; that they are missing is told already
        if merkle.root(merkle.split(seal.leaves)) != seal.root:
            findings.add("seal_changed", seal=seal.number)
        if not is_signed(seal):
            findings.add("seal_unsigned", seal=seal.number)
        before = last.sealed_at - BACKDATED_BY if last and stream == "audit_event" else None
        may_be_gone = gone_through is not None and seal.month <= gone_through
        row_count += _compare(seal, ahead, before, findings, misplaced, may_be_gone=may_be_gone)
        roots |= {each.number: seal.root.hex() for each in known if each.number == seal.number}
        seal_count, last = seal_count + 1, seal
    misplaced.tell(findings)
    for each in known:
        if roots.get(each.number) != each.root:
            findings.add("seal_lost", seal=each.number)
    unsealed, since = _tail(ahead)
    head = SealHead(number=last.number, root=last.root.hex()) if last else None
    return LogResult(
        stream=stream,
        rows=row_count,
        seals=seal_count,
        head=head,
        gone_through=gone_through,
        unsealed_rows=unsealed,
        unsealed_since_at=since,
        findings=findings.all(),
    )


def is_whole(seals: Iterable[Seal], rows: Iterable[Row]) -> bool:
    """True when these rows are exactly those of the seals, both in their order, and unaltered."""
    sealed = (each for seal in seals for each in _sealed(seal))
    return all(each == (row and (row.id, row.leaf)) for each, row in zip_longest(sealed, rows))


def _sealed(seal: Seal) -> Iterator[tuple[int, bytes] | None]:
    leaves = merkle.split(seal.leaves)
    yield from zip(seal.ids, leaves, strict=False) if merkle.root(leaves) == seal.root else (None,)


def _continues(seal: Seal, last: Seal | None, findings: LogFindings) -> bool:
    number, root = (last.number + 1, last.root) if last else (1, NO_ROOT)
    if seal.number != number:
        findings.add("seal_deleted", seal=number, count=max(seal.number - number, 1))
        return False
    if seal.previous_root != root:
        findings.add("seal_unlinked", seal=seal.number)
    return True


def _compare(
    seal: Seal,
    ahead: _Rows,
    before: datetime | None,
    findings: LogFindings,
    misplaced: _Misplaced,
    *,
    may_be_gone: bool,
) -> int:
    """Take the rows up to the seal's end; return how many of them are the seal's."""
    leaves = dict(zip(seal.ids, merkle.split(seal.leaves), strict=False))
    count = len(leaves)
    for row in ahead.until(seal.end, with_it=True):
        leaf = leaves.pop(row.id, None)
        if leaf is None:
            misplaced.note("strange", row.id, seal.number)
        elif leaf != row.leaf:
            findings.add("row_changed", row=row.id, seal=seal.number)
        elif before is not None and row.at < before:
            findings.add("row_backdated", row=row.id, seal=seal.number)
    if not may_be_gone:
        for row_id in leaves:
            misplaced.note("absent", row_id, seal.number)
    return count - len(leaves)


def _tail(ahead: _Rows) -> tuple[int, datetime | None]:
    count, since = 0, None
    for row in ahead.rest():
        count += 1
        since = row.at if since is None else min(since, row.at)
    return count, since

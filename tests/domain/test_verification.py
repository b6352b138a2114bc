"""Whatever is done to rows and seals without the key is found and named."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pools.domain import merkle, seals, verification
from pools.domain.seals import Row, Seal, SealHead
from pools.domain.verification import Known
from tests.factories import NOW

A_MINUTE = timedelta(minutes=1)


def signature(seal: Seal) -> bytes:
    return sha256(b"key" + seal.statement).digest()


def row(number: int, text: str = "as written") -> Row:
    """Transactions overlap: ids do not ascend with them."""
    return Row(number // 3, number ^ 1, NOW + number * A_MINUTE, merkle.leaf(f"{number} {text}".encode()))


@dataclass
class Log:
    rows: list[Row]
    seals: list[Seal]

    @property
    def heads(self) -> list[Known]:
        return [Known(each.number, each.root.hex()) for each in self.seals[-1:]]


def log(*counts: int) -> Log:
    rows = sorted(row(number) for number in range(sum(counts)))
    made, head, begin = [], None, 0
    for count in counts:
        part = rows[begin : begin + count]
        seal = seals.made("audit_event", part, head, key_id="k", now=part[-1].at)
        made.append(msgspec.structs.replace(seal, signature=signature(seal)))
        head, begin = SealHead(number=seal.number, root=seal.root.hex()), begin + count
    return Log(rows, made)


def check(given_log: Log, *, known=(), gone_through=None):
    return verification.check(
        "audit_event", given_log.seals, given_log.rows, gone_through=gone_through, known=known,
        is_signed=lambda seal: seal.signature == signature(seal),
    )  # fmt: skip


def found(result) -> list[tuple[str, int | None, int | None, int]]:
    return [(each.kind, each.row, each.seal, each.count) for each in result.findings]


def seal_of(given_log: Log, row: Row) -> int:
    return next(seal.number for seal in given_log.seals if row.id in seal.ids)


LOGS = st.lists(st.integers(1, 7), min_size=1, max_size=6).map(lambda counts: log(*counts))


class TestALog:
    @given(LOGS, st.integers(0, 5))
    def test_that_nobody_touched_is_whole(self, whole, unsealed):
        sealed = len(whole.rows)
        tail = [Row(1000 + number, 1000, NOW, b"") for number in range(unsealed)]

        result = check(Log(whole.rows + tail, whole.seals), known=whole.heads)

        assert result.findings == [] and (result.rows, result.unsealed_rows) == (sealed, unsealed)
        assert result.head and result.head.number == len(whole.seals)

    @given(LOGS, st.data())
    def test_with_a_changed_row_names_it(self, whole, data):
        place = data.draw(st.integers(0, len(whole.rows) - 1))
        changed = whole.rows[place]
        whole.rows[place] = changed._replace(leaf=merkle.leaf(b"rewritten"))

        assert found(check(whole)) == [("row_changed", changed.id, seal_of(whole, changed), 1)]

    @given(LOGS, st.data())
    def test_with_a_deleted_row_names_it(self, whole, data):
        gone = whole.rows.pop(data.draw(st.integers(0, len(whole.rows) - 1)))

        assert found(check(whole)) == [("row_deleted", gone.id, seal_of(whole, gone), 1)]

    @given(LOGS, st.data())
    def test_with_an_inserted_row_names_it(self, whole, data):
        place = data.draw(st.integers(0, len(whole.rows) - 1))
        forged = Row(whole.rows[place].xid, -1, NOW, b"forged")
        whole.rows = sorted([*whole.rows, forged])

        ((kind, row_id, _, count),) = found(check(whole))

        assert (kind, row_id, count) == ("row_inserted", -1, 1)

    @given(LOGS, st.data())
    def test_with_a_row_moved_to_another_transaction_names_it_as_changed(self, whole, data):
        place = data.draw(st.integers(0, len(whole.rows) - 1))
        moved = whole.rows[place]
        whole.rows = sorted([*whole.rows[:place], *whole.rows[place + 1 :], moved._replace(xid=-1, leaf=b"x")])

        assert found(check(whole)) == [("row_changed", moved.id, seal_of(whole, moved), 1)]

    @given(LOGS, st.data())
    def test_with_a_deleted_seal_names_it_and_blames_no_row(self, whole, data):
        gone = whole.seals.pop(data.draw(st.integers(0, len(whole.seals) - 1)))

        result = check(whole, known=[Known(gone.number, gone.root.hex())])

        in_the_middle = gone.number <= len(whole.seals)
        assert found(result) == [
            *([("seal_deleted", None, gone.number, 1)] if in_the_middle else []),
            ("seal_lost", None, gone.number, 1),
        ]

    @given(LOGS, st.data())
    def test_with_a_changed_leaf_names_seal_and_row(self, whole, data):
        place = data.draw(st.integers(0, len(whole.seals) - 1))
        seal = whole.seals[place]
        whole.seals[place] = msgspec.structs.replace(seal, leaves=bytes(32) + seal.leaves[32:])

        assert found(check(whole)) == [
            ("seal_changed", None, seal.number, 1),
            ("row_changed", seal.ids[0], seal.number, 1),
        ]

    @given(LOGS, st.data())
    def test_sealed_anew_without_the_key_is_found_at_every_seal_after(self, whole, data):
        place = data.draw(st.integers(0, len(whole.rows) - 1))
        changed = whole.rows[place]
        first = seal_of(whole, changed)
        whole.rows[place] = changed._replace(leaf=merkle.leaf(b"rewritten"))
        head = SealHead(number=first - 1, root=whole.seals[first - 2].root.hex()) if first > 1 else None
        for number in range(first, len(whole.seals) + 1):
            old = whole.seals[number - 1]
            rows = [each for each in whole.rows if each.id in old.ids]
            new = seals.made("audit_event", rows, head, key_id="k", now=old.sealed_at)
            whole.seals[number - 1] = new
            head = SealHead(number=number, root=new.root.hex())

        result = check(whole)

        assert found(result) == [("seal_unsigned", None, first, len(whole.seals) - first + 1)]

    @given(LOGS, st.data())
    def test_that_changes_with_the_key_contradicts_what_was_known(self, whole, data):
        before = whole.heads
        again = log(*[len(seal.ids) for seal in whole.seals[:-1]], len(whole.seals[-1].ids) + 1)

        assert found(check(again, known=before)) == [("seal_lost", None, len(whole.seals), 1)]

    def test_with_a_row_that_says_it_is_older_than_its_place_names_it(self):
        whole = log(3, 3)
        late = Row(50, 99, NOW - timedelta(days=2), b"l" * 32)
        head = SealHead(number=2, root=whole.seals[-1].root.hex())
        seal = seals.made("audit_event", [late], head, key_id="k", now=NOW)
        whole = Log([*whole.rows, late], [*whole.seals, msgspec.structs.replace(seal, signature=signature(seal))])

        assert found(check(whole)) == [("row_backdated", 99, 3, 1)]

    def test_whose_months_were_dropped_on_purpose_lacks_just_those(self):
        whole = log(4, 4)
        month = whole.seals[0].month

        assert check(Log([], whole.seals), gone_through=month).findings == []
        assert found(check(Log(whole.rows[5:], whole.seals)))[0][::3] == ("row_deleted", 5)
        earlier = month.replace(month=1)
        assert found(check(Log([], whole.seals), gone_through=earlier)) == [
            ("row_deleted", whole.seals[0].ids[0], 1, 8)
        ]


class TestAMonth:
    @given(LOGS, st.data())
    def test_is_whole_only_as_it_was_sealed(self, whole, data):
        place = data.draw(st.integers(0, len(whole.rows) - 1))
        rows = whole.rows

        assert verification.is_whole(whole.seals, rows)
        assert not verification.is_whole(whole.seals, rows[:place] + rows[place + 1 :])
        assert not verification.is_whole(whole.seals, [*rows, rows[place]])
        assert not verification.is_whole(
            whole.seals, [*rows[:place], rows[place]._replace(leaf=b""), *rows[place + 1 :]]
        )
        assert not verification.is_whole(whole.seals[:-1], rows)

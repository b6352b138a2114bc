"""Sums over half open windows: compared with what one finds by looking at every instant."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pools.domain.windows import Span, full_at, peak, peaks
from tests.factories import NOW


def at(minute):
    return None if minute is None else NOW + timedelta(minutes=minute)


@st.composite
def windows(draw, *, open_start=False):
    start = draw(st.none() | st.integers(0, 9)) if open_start else draw(st.integers(0, 9))
    end = draw(st.none() | st.integers((0 if start is None else start) + 1, 11))
    return start, end


amounts = st.integers(0, 1000)
spans = st.lists(st.tuples(windows(open_start=True), amounts, amounts), max_size=8)


def there(window, minute):
    start, end = window
    return (start is None or start <= minute) and (end is None or minute < end)


def sums(found, window):
    """What is together at each minute of the window: nothing begins or ends in between."""
    return [
        (minute, *(sum(each[n] for each in found if there(each[0], minute)) for n in (1, 2)))
        for minute in range(13)
        if there(window, minute)
    ]


def read(found):
    return [Span(at(start), at(end), milli, mib) for (start, end), milli, mib in found]


@given(spans, windows())
def test_the_peak_is_the_most_at_any_instant(found, window):
    seen = sums(found, window)

    most = max(milli for _, milli, _ in seen), max(mib for _, _, mib in seen)

    assert peak(read(found), at(window[0]), at(window[1])) == most


@given(spans, st.lists(st.integers(0, 12), min_size=2, max_size=6, unique=True), st.randoms())
def test_the_peaks_of_steps_are_the_peak_of_each(found, marks, chance):
    marks.sort()
    steps = [(at(one), at(other)) for one, other in pairwise(marks)]
    marked = [(span, (True, chance.random() < 0.5)) for span in read(found)]

    told = peaks(marked, steps, 2)

    for kind in range(2):
        of_kind = [span for span, is_of in marked if is_of[kind]]
        assert [most[kind] for most in told] == [peak(of_kind, *step)[0] for step in steps]


@given(spans, windows(), amounts, amounts)
def test_full_is_from_the_first_instant_with_more_than_the_room(found, window, room, room_mib):
    taken = sums(found, window)
    first = next((at(minute) for minute, milli, mib in taken if milli > room or mib > room_mib), None)

    assert full_at(read(found), at(window[0]), at(window[1]), room, room_mib) == first


def test_one_that_ends_when_another_begins_is_not_beside_it():
    back_to_back = [Span(at(0), at(5), 1000), Span(at(5), None, 1000)]

    assert peak(back_to_back, at(0), None) == (1000, 0)
    assert not back_to_back[0].meets(at(5), at(6)) and not back_to_back[1].meets(at(0), at(5))

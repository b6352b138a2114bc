"""Numbers, sizes and times as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from pools.web import differences, figures

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


class TestNumbers:
    @pytest.mark.parametrize(
        ("milli", "words"), [(0, "0"), (1_477_000, "1,477"), (12_250, "12.25"), (142, "0.142"), (None, "unknown")]
    )
    def test_of_devices_are_whole_where_they_can_be(self, milli, words):
        assert figures.devices(milli) == words

    @pytest.mark.parametrize(
        ("part", "whole", "words"),
        [(1, 2, "50%"), (1, 3, "33.3%"), (99_999, 100_000, "99.9%"), (1, 100_000, "0.1%"), (0, 5, "0%"), (0, 0, "–")],
    )
    def test_of_shares_round_neither_to_nothing_nor_to_all(self, part, whole, words):
        assert figures.percent(part, whole) == words

    @pytest.mark.parametrize(
        ("mib", "words"), [(81_920, "80 GiB"), (512, "512 MiB"), (2 * 1024 * 1024, "2 TiB"), (81_559, "79.6 GiB")]
    )
    def test_of_memory_have_the_unit_that_fits(self, mib, words):
        assert figures.memory(mib) == words

    def test_of_bytes_have_the_unit_that_fits(self):
        assert [figures.size(size) for size in (12, 36_000, 1_400_000)] == ["12 B", "36.0 kB", "1.4 MB"]

    def test_of_memory_in_a_difference_are_unknown_where_no_platform_told_it(self):
        assert [differences.shown("memory_mib", mib) for mib in (0, 81920)] == ["unknown", "80 GiB"]
        assert differences.shown("memory_used_mib", 0) == "0 MiB"


class TestTimes:
    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(0.42, "420 ms"), (4.2, "4.2 s"), (42, "42 s"), (720, "12 min"), (10_800, "3 h"), (5 * 86_400, "5 d")],
    )
    def test_are_short(self, seconds, words):
        assert figures.duration(seconds) == words

    def test_tell_the_exact_instant_to_the_pointer(self):
        markup = figures.age(NOW - timedelta(seconds=42), NOW)

        assert ">42 s ago</time>" in markup and 'title="2026-11-25 11:59:18 UTC"' in markup

    def test_may_lie_ahead(self):
        assert ">in 3 min</time>" in figures.age(NOW + timedelta(minutes=3), NOW)

    def test_of_what_never_was_are_no_number(self):
        assert "never" in figures.age(None, NOW)

    def test_speak_chinese(self):
        with translation.override("zh-hans"):
            assert ">42 秒前</time>" in figures.age(NOW - timedelta(seconds=42), NOW)

import pytest

from connectors.kubernetes import quantity


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "units"),
        [("8", 8), ("1e3", 1000), ("1500m", 2), ("2k", 2000), ("1Gi", 2**30), ("0", 0), ("", 0), ("-4", 0), ("x", 0)],
    )
    def test_reads_what_the_api_writes_and_takes_nothing_from_nonsense(self, text, units):
        assert quantity.units(text) == units

    @pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999999999"])
    def test_survives_numbers_that_are_none(self, text):
        assert quantity.units(text) == 0


class TestMilli:
    @pytest.mark.parametrize(("text", "milli"), [("192", 192_000), ("250m", 250), ("1n", 1), ("0.5", 500)])
    def test_rounds_up_as_the_scheduler_does(self, text, milli):
        assert quantity.milli(text) == milli


class TestMib:
    @pytest.mark.parametrize(("text", "mib"), [("2113407800Ki", 2063874), ("64Gi", 65536), ("1048575", 0)])
    def test_rounds_down(self, text, mib):
        assert quantity.mib(text) == mib

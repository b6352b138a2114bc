"""Readings from vCenter's performance counters, on answers made of pyVmomi's own types."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from pyVmomi import vim

from connectors.contract import Reading
from connectors.vsphere import counters
from connectors.vsphere.client import Seen
from tests.connectors.vsphere.test_mapping import FIRST, REF, SECOND, graphics, host

AT = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
KEYS = {"utilization": 501, "mem.used": 502, "temperature": 503, "mem.usage": 504}
UNITS = {"utilization": "percent", "mem.used": "kiloBytes", "temperature": "celsius", "mem.usage": "percent"}
Perf = vim.PerformanceManager


def counter(name, key, unit, group="gpu", rollup="average"):
    def info(key):
        return vim.ElementDescription(key=key, label=key, summary=key)

    return Perf.CounterInfo(
        key=key,
        nameInfo=info(name),
        groupInfo=info(group),
        unitInfo=info(unit),
        rollupType=rollup,
        statsType="absolute",
    )


OFFERED = [
    counter("utilization", 7, "percent", group="cpu"),
    counter("utilization", 8, "percent", rollup="maximum"),
    *(counter(name, key, UNITS[name]) for name, key in KEYS.items()),
]
KNOWN = counters.measures(OFFERED)


def answer(*values):
    """What a host measured: counter, instance, value."""
    series = [
        Perf.IntSeries(
            id=Perf.MetricId(counterId=KEYS[name], instance=instance), value=[] if value is None else [value]
        )
        for name, instance, value in values
    ]
    return Perf.EntityMetric(entity=REF, sampleInfo=[Perf.SampleInfo(timestamp=AT, interval=20)], value=series)


class TestCounters:
    def test_of_gpus_are_known_by_name_and_unit_and_the_others_are_left(self):
        assert {key: measure.field for key, measure in KNOWN.items()} == {
            501: "utilisation_percent",
            502: "memory_used_mib",
            503: "temperature_celsius",
        }


class TestReadings:
    def test_are_of_each_card_by_its_address(self):
        told = answer(
            ("utilization", FIRST, 4250),
            ("mem.used", FIRST, 2048),
            ("temperature", FIRST, 61),
            ("utilization", SECOND, 0),
        )

        assert counters.readings(told, host(), KNOWN) == [
            Reading(
                node=host().uuid,
                ref=FIRST,
                pci_address=FIRST,
                utilisation_percent=42.5,
                memory_used_mib=2,
                temperature_celsius=61,
                measured_at="2026-11-26T04:00:00+00:00",
            ),
            Reading(
                node=host().uuid,
                ref=SECOND,
                pci_address=SECOND,
                utilisation_percent=0,
                measured_at="2026-11-26T04:00:00+00:00",
            ),
        ]

    def test_of_numbered_instances_are_of_the_cards_in_their_order(self):
        (reading,) = counters.readings(answer(("temperature", "1", 50)), host(), KNOWN)

        assert reading.ref == SECOND

    @pytest.mark.parametrize(
        "told",
        [
            ("utilization", "", 100),
            ("utilization", "2", 100),
            ("utilization", "0000:99:00.0", 100),
            ("utilization", FIRST, -1),
            ("utilization", FIRST, None),
            ("utilization", FIRST, 10001),
            ("mem.usage", FIRST, 100),
        ],
    )
    def test_of_no_card_or_without_a_value_are_none_and_never_zero(self, told):
        assert counters.readings(answer(told), host(), KNOWN) == []


class Recorded:
    """A vCenter that has one host with cards, one without and one that is lost."""

    host = "vcenter"

    def __init__(self, offered):
        self.asked = []
        self.offered = offered
        manager = SimpleNamespace(QueryPerf=self._query)
        self.content = SimpleNamespace(perfManager=manager, about=SimpleNamespace(apiVersion="8.0.3.0"))

    def _query(self, specs):
        self.asked += [spec.entity._GetMoId() for spec in specs]
        return [answer(("temperature", FIRST, 61))] if specs else None

    def read(self, refs, paths):
        return [Seen(None, {"perfCounter": self.offered})]

    def sweep(self, kind, paths, *, page_size):
        told = {"hardware.systemInfo.uuid": "u", "runtime.connectionState": "connected"}
        cards = {"config.graphicsInfo": [graphics(FIRST)]}
        yield [
            Seen(REF, {**told, **cards}),
            Seen(vim.HostSystem("host-2", None), told),
            Seen(vim.HostSystem("host-3", None), {**told, **cards, "runtime.connectionState": "disconnected"}),
        ]


class TestTelemetry:
    def test_asks_connected_hosts_with_cards_only(self):
        client = Recorded(OFFERED)

        (reading,) = counters.telemetry(client)

        assert (reading.node, reading.ref, reading.temperature_celsius) == ("u", FIRST, 61) and client.asked == [
            "host-1"
        ]

    def test_asks_nothing_where_there_are_no_such_counters(self):
        client = Recorded([])

        assert list(counters.telemetry(client)) == [] == client.asked

    def test_tells_nothing_where_there_is_no_performance_manager(self):
        client = Recorded(OFFERED)
        client.content.perfManager = None

        assert list(counters.telemetry(client)) == []


class TestARealApiServer:
    def test_has_these_counters_and_its_hosts_measure_nothing(self, backend):
        perf = backend.admin.content.perfManager

        (found,) = backend.admin.read([perf], ["perfCounter"])

        assert (
            len(counters.measures(found.values["perfCounter"])) == 3 and list(counters.telemetry(backend.admin)) == []
        )

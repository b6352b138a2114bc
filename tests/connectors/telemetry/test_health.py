"""Faults that exporters tell, in the facts of an observation."""

from collections.abc import Iterator

import msgspec
import pytest

from connectors.contract import Cursor, DeviceFact, Last, NodeFact, Page
from connectors.telemetry.health import observed, watched
from connectors.telemetry.sources import Sources
from tests.connectors.server import LOOPBACK, Answer, serving
from tests.connectors.telemetry.test_exporters import dcgm

UUID = "GPU-11111111-2222-3333-4444-555555555555"
WELL, BROKEN = dcgm(DCGM_FI_DEV_XID_ERRORS="0"), dcgm(DCGM_FI_DEV_XID_ERRORS="79")


class Platform:
    """Tells one node with one card; with a cursor of its own, only that nothing changed."""

    def __init__(self, device: DeviceFact, name: str = "gpu07") -> None:
        self.node = NodeFact(ref="uid-7", name=name, devices=(device,))
        self.cursors: list[Cursor | None] = []

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        self.cursors.append(cursor)
        yield Page(nodes=() if cursor else [self.node], is_full=not cursor)
        yield Page(is_full=not cursor, last=Last(complete=True, cursor={"version": 1}))


class Exporter:
    """What the exporter says can be changed; None is down."""

    def __init__(self) -> None:
        self.text: str | None = WELL

    def __call__(self, seen):
        return Answer(status=503) if self.text is None else Answer(body=self.text.encode())


@pytest.fixture
def exporter():
    return Exporter()


@pytest.fixture
def look(exporter):
    """Return a look at a platform; it gives the pages and, as stored, the cursor."""
    with serving(exporter) as server:
        sources = Sources({"exporter_urls": server.url}, {}, LOOPBACK)

        def look(platform, cursor=None):
            pages = list(observed(platform.observe, sources, cursor))
            return pages, msgspec.json.decode(msgspec.json.encode(pages[-1].last.cursor))

        yield look


def health(pages: list[Page]) -> list[tuple[str, str]]:
    return [(device.health, device.health_reason) for page in pages for node in page.nodes for device in node.devices]


def warnings(pages: list[Page]) -> str:
    return " ".join(warning for page in pages for warning in page.warnings)


class TestAFault:
    @pytest.mark.parametrize(
        "device",
        [
            DeviceFact(ref="a", uuid=UUID),
            DeviceFact(ref="a", uuid=UUID.removeprefix("GPU-").upper()),
            DeviceFact(ref="a", uuid="MIG-1", pci_address="0000:3b:00.0"),
            DeviceFact(ref="a", index=2),
        ],
        ids=["by uuid", "by uuid without its prefix", "by PCI address", "by index"],
    )
    def test_makes_the_device_faulty(self, exporter, look, device):
        exporter.text = BROKEN

        pages, _ = look(Platform(device))

        assert health(pages) == [("faulty", "XID 79")] and warnings(pages) == ""

    @pytest.mark.parametrize(
        ("device", "name"),
        [
            (DeviceFact(ref="a", uuid="GPU-99999999-2222-3333-4444-555555555555", index=2), "gpu07"),
            (DeviceFact(ref="a", index=2), "gpu08"),
            (DeviceFact(ref="a", index=3), "gpu07"),
            (DeviceFact(ref="a", index=2, pci_address="0000:18:00.0"), "gpu07"),
        ],
        ids=["another card in its place", "on another node", "beside it", "a partition of another card"],
    )
    def test_is_not_of_another_device_and_is_told(self, exporter, look, device, name):
        exporter.text = BROKEN

        pages, _ = look(Platform(device, name))

        assert health(pages) == [("ok", "")] and UUID in warnings(pages)

    def test_is_added_to_what_the_platform_says(self, exporter, look):
        exporter.text = BROKEN

        pages, _ = look(Platform(DeviceFact(ref="a", uuid=UUID, health="faulty", health_reason="ERR!")))

        assert health(pages) == [("faulty", "ERR!, XID 79")]

    def test_comes_and_goes_within_one_look_though_the_node_did_not_change(self, exporter, look):
        platform = Platform(DeviceFact(ref="a", uuid=UUID))
        _, cursor = look(platform)
        quiet, cursor = look(platform, cursor)

        exporter.text = BROKEN
        broken, cursor = look(platform, cursor)
        exporter.text = WELL
        healed, cursor = look(platform, cursor)

        assert [health(pages) for pages in (quiet, broken, healed)] == [[], [("faulty", "XID 79")], [("ok", "")]]
        assert platform.cursors == [None, {"version": 1}, None, None]

    def test_stands_while_the_exporter_cannot_be_read(self, exporter, look):
        platform = Platform(DeviceFact(ref="a", uuid=UUID))
        exporter.text = BROKEN
        _, cursor = look(platform)

        exporter.text = None
        pages, after = look(Platform(DeviceFact(ref="a", uuid=UUID)), {**cursor, "version": 0})
        again, _ = look(platform, {"telemetry": after["telemetry"]})

        assert "1 faults that it told before stand" in warnings(pages) and after["telemetry"] == cursor["telemetry"]
        assert health(again) == [("faulty", "XID 79")]

    def test_stands_while_the_exporter_is_silent_about_the_device(self, exporter, look):
        """A card that fell off the bus is told no longer, which does not make it well."""
        platform = Platform(DeviceFact(ref="a", uuid=UUID))
        exporter.text = BROKEN
        _, cursor = look(platform)

        exporter.text = WELL.replace(UUID, "GPU-9").replace('gpu="2"', 'gpu="3"').replace(":3B:", ":5E:")
        _, after = look(platform, cursor)
        exporter.text = WELL
        healed, _ = look(platform, after)

        assert after["telemetry"] == cursor["telemetry"] and health(healed) == [("ok", "")]

    def test_with_index_0_is_kept_in_the_cursor(self, exporter, look):
        exporter.text = BROKEN.replace('gpu="2"', 'gpu="0"').replace(f'UUID="{UUID}",', "")

        pages, cursor = look(Platform(DeviceFact(ref="a", index=0)))
        exporter.text = None
        again, _ = look(Platform(DeviceFact(ref="a", index=0)), {"telemetry": cursor["telemetry"]})

        assert health(pages) == health(again) == [("faulty", "XID 79")]


class TestAWatch:
    def test_tells_known_faults_and_carries_them_on(self, exporter, look):
        exporter.text = BROKEN
        platform = Platform(DeviceFact(ref="a", uuid=UUID))
        _, cursor = look(platform)

        def changes(own):
            yield Page(nodes=[platform.node], is_full=False, last=Last(complete=True, cursor={"version": 2}))

        (page,) = watched(changes, cursor)

        assert health([page]) == [("faulty", "XID 79")]
        assert msgspec.json.decode(msgspec.json.encode(page.last.cursor)) == {**cursor, "version": 2}

    def test_of_a_platform_without_exporters_keeps_its_cursor(self):
        (page,) = watched(lambda own: iter([Page(is_full=False, last=Last(complete=True, cursor=own))]), {"version": 1})

        assert page.last.cursor == {"version": 1}


class TestALook:
    def test_without_sources_is_the_platform_s_own(self):
        platform = Platform(DeviceFact(ref="a", uuid=UUID))

        pages = list(observed(platform.observe, Sources({}, {}, LOOPBACK), {"version": 1}))

        assert platform.cursors == [{"version": 1}] and pages[-1].last.cursor == {"version": 1}

    def test_survives_a_cursor_of_another_time(self, look):
        pages, _ = look(Platform(DeviceFact(ref="a", uuid=UUID)), {"telemetry": {"left": "over"}})

        assert health(pages) == [("ok", "")]

    def test_goes_on_when_no_fault_was_ever_known(self, exporter, look):
        exporter.text = None

        pages, _ = look(Platform(DeviceFact(ref="a", uuid=UUID)))

        assert health(pages) == [("ok", "")] and "No fault was known" in warnings(pages)

"""The demo fleet has something to show on every screen."""

import json
from pathlib import Path

import pytest

from connectors import demo
from connectors.contract import Transient
from connectors.simulated.chips import CHIPS, UNKNOWN
from pools.domain import catalogue
from tests.connectors.contract import Sessions, nodes, pages


class TestDemo(Sessions):
    @pytest.fixture
    def connectors(self, open_session, tmp_path):
        return {
            pool.name: open_session(demo.KIND, pool.settings, pool.credential) for pool in demo.prepare(str(tmp_path))
        }

    def test_has_four_characters_five_vendors_and_all_kinds_of_trouble(self, connectors):
        found = {name: nodes(connector) for name, connector in connectors.items()}

        everywhere = [node for seen in found.values() for node in seen]
        devices = [device for node in everywhere for device in node.devices]
        assert len(found) == 4 and len({device.vendor for device in devices} - {""}) >= 5
        assert any(device.health == "faulty" for device in devices) and any(not device.vendor for device in devices)
        assert any(device.uses for device in devices) and any(node.counters for node in everywhere)
        assert any(not node.is_available for node in everywhere) and any(not node.devices for node in everywhere)

    def test_has_a_pool_that_cannot_be_managed_and_one_with_a_wrong_clock(self, connectors):
        assert connectors["demo-openstack"].check().manage.missing
        assert any("clock" in warning for warning in connectors["demo-baremetal"].check().warnings)

    def test_has_a_pool_that_is_lost_after_its_first_syncs(self, connectors):
        for _ in range(3):
            pages(connectors["demo-vsphere"])

        with pytest.raises(Transient):
            pages(connectors["demo-vsphere"])

    def test_keeps_what_a_person_changed_and_is_forgotten_without_a_trace(self, tmp_path):
        demo.prepare(str(tmp_path))
        other = tmp_path / "mine.json"
        other.write_text("{}")
        state = tmp_path / "demo-vsphere.json"
        state.write_text(json.dumps({"knobs": {"latency_ms": 7}}))

        demo.prepare(str(tmp_path))
        kept = state.read_text()
        demo.forget(str(tmp_path))

        assert json.loads(kept) == {"knobs": {"latency_ms": 7}} and list(Path(tmp_path).iterdir()) == [other]


@pytest.fixture(scope="module")
def known():
    return catalogue.load(Path("pools/catalogue"))


class TestChip:
    @pytest.mark.parametrize("name", CHIPS)
    def test_is_found_in_the_catalogue_by_either_of_its_names(self, known, name):
        chip = CHIPS[name]

        found = known.resolve(chip.vendor, chip.name, chip.pci_id, chip.memory_mib)

        assert found is not None and found == known.resolve(chip.vendor, chip.label, None, chip.memory_mib)

    def test_that_is_unknown_is_unknown(self, known):
        assert known.resolve(UNKNOWN.vendor, UNKNOWN.name, UNKNOWN.pci_id, UNKNOWN.memory_mib) is None

"""What the text of an exporter says of each device."""

from pathlib import Path

import pytest

from connectors.contract import Reading
from connectors.telemetry.exporters import APPLICATION_XIDS, pci_address, readings
from connectors.telemetry.samples import from_text

RECORDED = Path(__file__).parent / "recorded"
BLANKS = ("9223372036854775792", "9223372036854775794", "9223372036854775796", "2147483632", "140737488355330", "NaN")


def read(text: str, host: str = "") -> list[Reading]:
    return list(readings(from_text(text), host))


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def dcgm(**values: str) -> str:
    """Return a text as dcgm-exporter prints it for one card."""
    labels = (
        'gpu="2",UUID="GPU-11111111-2222-3333-4444-555555555555",pci_bus_id="00000000:3B:00.0",device="nvidia2",'
        'modelName="NVIDIA H100 80GB HBM3",Hostname="gpu07",DCGM_FI_DRIVER_VERSION="590.48.01"'
    )
    return "".join(f"# TYPE {name} gauge\n{name}{{{labels}}} {value}\n" for name, value in values.items())


class TestDcgmExporter:
    def test_tells_how_busy_and_how_well_a_card_is(self):
        text = dcgm(
            DCGM_FI_DEV_GPU_UTIL="93",
            DCGM_FI_DEV_FB_USED="61234",
            DCGM_FI_DEV_GPU_TEMP="61",
            DCGM_FI_DEV_POWER_USAGE="402.5",
            DCGM_FI_DEV_ECC_DBE_VOL_TOTAL="0",
            DCGM_FI_DEV_XID_ERRORS="0",
        )

        found = read(text)

        assert found == [
            Reading(
                node="gpu07",
                uuid="GPU-11111111-2222-3333-4444-555555555555",
                pci_address="0000:3b:00.0",
                index=2,
                utilisation_percent=93,
                memory_used_mib=61234,
                temperature_celsius=61,
                power_watts=402.5,
                ecc_uncorrected=0,
                health="ok",
            )
        ]

    @pytest.mark.parametrize("blank", BLANKS)
    def test_a_blank_value_is_missing_and_not_zero(self, blank):
        found = read(dcgm(DCGM_FI_DEV_GPU_TEMP="40", DCGM_FI_DEV_GPU_UTIL=blank, DCGM_FI_DEV_XID_ERRORS=blank))

        assert [(each.temperature_celsius, each.utilisation_percent, each.health) for each in found] == [
            (40, None, "unknown")
        ]

    @pytest.mark.parametrize("value", ["-1", "101", "1e300"])
    def test_an_impossible_value_is_missing(self, value):
        found = read(dcgm(DCGM_FI_DEV_GPU_TEMP="40", DCGM_FI_DEV_GPU_UTIL=value))

        assert [each.utilisation_percent for each in found] == [None]

    @pytest.mark.parametrize(
        ("metric", "value", "reason"),
        [
            ("DCGM_FI_DEV_XID_ERRORS", "79", "XID 79"),
            ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "3", "3 uncorrected ECC errors since the driver was loaded"),
            ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "1", "a row of memory could not be remapped"),
        ],
    )
    def test_a_fault_has_a_reason(self, metric, value, reason):
        found = read(dcgm(**{metric: value}))

        assert [(each.health, each.health_reason) for each in found] == [("faulty", reason)]

    @pytest.mark.parametrize("xid", sorted(APPLICATION_XIDS))
    def test_an_error_of_a_program_is_no_fault_of_the_card(self, xid):
        assert [each.health for each in read(dcgm(DCGM_FI_DEV_XID_ERRORS=str(xid)))] == ["ok"]

    def test_the_share_of_a_partition_says_nothing_of_the_whole_card(self):
        part = dcgm(DCGM_FI_DEV_GPU_TEMP="50", DCGM_FI_DEV_FB_USED="11", DCGM_FI_PROF_GR_ENGINE_ACTIVE="0.5").replace(
            "Hostname", 'GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",Hostname'
        )

        found = read(part)

        assert [(each.temperature_celsius, each.memory_used_mib, each.utilisation_percent) for each in found] == [
            (50, None, None)
        ]

    def test_the_engine_stands_in_where_utilisation_is_not_told(self):
        assert [each.utilisation_percent for each in read(dcgm(DCGM_FI_PROF_GR_ENGINE_ACTIVE="0.25"))] == [25]


class TestNpuExporter:
    def test_tells_the_recorded_chips_with_their_own_time(self):
        found = read(recorded("npu-exporter.prom"), "npu01")

        assert [(each.node, each.index, each.health) for each in found] == [("npu01", n, "ok") for n in range(8)]
        assert {each.measured_at for each in found} == {"1970-01-19T14:13:22+00:00"}
        assert {each.memory_used_mib for each in found} == {None}, "a total of 0 means that nothing is known"

    def test_a_chip_is_known_by_its_die(self):
        lines = recorded("npu-exporter.prom").splitlines(keepends=True)
        text = "".join(line.replace('vdie_id=""', 'vdie_id="D1E5"') if 'id="5"' in line else line for line in lines)

        found = read(text)

        assert [each.uuid for each in found if each.index == 5] == ["D1E5"]

    def test_an_unhealthy_chip_is_faulty_with_its_code(self):
        text = recorded("npu-exporter.prom")
        for metric, value in (("health_status", "0"), ("error_code", "2147519647")):
            start = f'npu_chip_info_{metric}{{container_name="",id="3"'
            line = next(line for line in text.splitlines() if line.startswith(start))
            text = text.replace(line, line.replace("} 1 ", "} 0 ").replace("} 0 ", f"}} {value} "))

        faulty = [each for each in read(text) if each.health == "faulty"]

        assert [(each.index, each.health_reason) for each in faulty] == [
            (3, "the vendor's agent calls it unhealthy (error code 0x80008c9f)")
        ]

    @pytest.mark.parametrize(("kind", "used"), [("hbm_", 4321), ("", 4321)])
    def test_memory_is_of_the_kind_that_the_chip_has(self, kind, used):
        labels = '{id="0",vdie_id="D1E"}'
        text = (
            f"npu_chip_info_{kind}total_memory{labels} 65536 1606402000\n"
            f"npu_chip_info_{kind}used_memory{labels} {used} 1606402000\n"
        )

        assert [each.memory_used_mib for each in read(text)] == [used]


class TestNvidiaGpuExporter:
    def test_tells_the_recorded_card_in_the_contract_s_units(self):
        (found,) = read(recorded("nvidia_gpu_exporter-h100-80gb-hbm3.prom"), "gpu01")

        assert (found.uuid, found.pci_address, found.index, found.node) == (
            "GPU-00000000-0000-0000-0000-000000000000",
            "0000:00:09.0",
            0,
            "gpu01",
        )
        assert (found.utilisation_percent, found.memory_used_mib, found.power_watts) == (100, 19818, 631.95)
        assert (found.temperature_celsius, found.ecc_uncorrected, found.health) == (59, 0, "ok")

    def test_a_card_in_partitions_tells_no_utilisation(self):
        (found,) = read(recorded("nvidia_gpu_exporter-h100-mig.prom"))

        assert (found.utilisation_percent, found.temperature_celsius) == (None, 53)


class TestOtherText:
    def test_of_unknown_metrics_gives_nothing(self):
        assert read('node_cpu_seconds_total{cpu="0",mode="idle"} 10870.69\n') == []

    @pytest.mark.parametrize("text", ["<!doctype html><title>Welcome</title>", "metric{ 1", '{"status":"ok"}'])
    def test_that_is_no_metrics_is_refused(self, text):
        with pytest.raises(ValueError, match=r".+"):
            read(text)


class TestPciAddress:
    @pytest.mark.parametrize("text", ["00000000:3B:00.0", "0000:3b:00.0", "3b:00.0", "3B:00"])
    def test_is_one_for_all_its_spellings(self, text):
        assert pci_address(text) == "0000:3b:00.0"

    @pytest.mark.parametrize("text", ["", "N/A", "a:b:c:d", "zz:00.0"])
    def test_is_none_where_there_is_none(self, text):
        assert pci_address(text) is None

"""What each known exporter's metrics mean: DCGM exporter, npu-exporter, nvidia_gpu_exporter.

Pure: samples in, readings out. An exporter leaves absent cards out, so it never tells what there is, only how what is
there does. Sources: the fields of dcgm-exporter's etc/default-counters.csv and DCGM's field identifiers; the text of
npu-exporter and nvidia_gpu_exporter as recorded from real servers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from connectors.contract import Health, Reading
from connectors.telemetry.samples import Sample

APPLICATION_XIDS = frozenset({13, 31, 43, 45, 68, 109})
"""Errors of a program, after which the card is well; NVIDIA's device plugin leaves them out of health too."""

Values = Mapping[str, float]


class Exporter(Struct, frozen=True):
    """How one exporter speaks. Labels are tried in turn; ``measured`` makes a reading's fields out of its values."""

    names: tuple[str, ...]
    uuid_labels: tuple[str, ...]
    pci_labels: tuple[str, ...]
    index_labels: tuple[str, ...]
    measured: Callable[[Values], Mapping[str, float | None]]
    faults: Callable[[Values], Sequence[str] | None]
    uuid_prefix: str = ""


def readings(samples: Iterable[Sample], host: str = "") -> Iterator[Reading]:
    """Yield a reading a device. ``host`` is where the source runs, for samples that do not tell their node."""
    devices: dict[tuple[int, str], _Device] = {}
    for sample in samples:
        if (number := _EXPORTER_OF.get(sample.name)) is None:
            continue
        about = _about(EXPORTERS[number], sample, host)
        key = about.uuid or f"{about.node} {about.pci_address or about.index}"
        device = devices.setdefault((number, key), _Device(about, {}))
        device.about = _merged(device.about, about)
        is_part = bool(sample.labels.get("GPU_I_ID")) and sample.name in _SHARED_BY_PARTS
        if not is_part:  # a partition's share of work says nothing of the whole card
            device.values[sample.name] = sample.value
    for (number, _), device in devices.items():
        yield _reading(EXPORTERS[number], device)


def pci_address(text: str) -> str | None:
    """Return ``dddd:bb:dd.f`` in lower case for the many ways to write it, None where there is none."""
    parts = text.strip().lower().split(":")
    if len(parts) == 2:
        parts.insert(0, "0")
    try:
        domain, bus, rest = parts
        device, _, function = rest.partition(".")
        return f"{int(domain, 16):04x}:{int(bus, 16):02x}:{int(device, 16):02x}.{int(function or '0', 16):x}"
    except ValueError:
        return None


class _Device(Struct):
    about: Reading
    values: dict[str, float]


def _about(exporter: Exporter, sample: Sample, host: str) -> Reading:
    labels = sample.labels
    uuid = _first(labels, exporter.uuid_labels)
    index = _first(labels, exporter.index_labels)
    at = None if sample.at_seconds is None else datetime.fromtimestamp(sample.at_seconds, UTC).isoformat()
    node = _first(labels, ("Hostname", "hostname", "node", "kubernetes_node")) or _instance(labels) or host
    return Reading(
        node=node,
        uuid=uuid and f"{exporter.uuid_prefix if not uuid.startswith(exporter.uuid_prefix) else ''}{uuid}",
        pci_address=pci_address(_first(labels, exporter.pci_labels) or ""),
        index=int(index) if index and index.isdecimal() else None,
        measured_at=at,
    )


def _merged(one: Reading, other: Reading) -> Reading:
    return Reading(
        node=one.node or other.node,
        uuid=one.uuid or other.uuid,
        pci_address=one.pci_address or other.pci_address,
        index=other.index if one.index is None else one.index,
        measured_at=max(filter(None, (one.measured_at, other.measured_at)), default=None),
    )


def _reading(exporter: Exporter, device: _Device) -> Reading:
    about, measured = device.about, exporter.measured(device.values)
    faults = exporter.faults(device.values)
    health: Health = "unknown" if faults is None else "faulty" if faults else "ok"
    return Reading(
        node=about.node,
        uuid=about.uuid,
        pci_address=about.pci_address,
        index=about.index,
        utilisation_percent=_within(measured.get("utilisation_percent"), 100),
        memory_used_mib=_whole(measured.get("memory_used_mib")),
        temperature_celsius=measured.get("temperature_celsius"),
        power_watts=_within(measured.get("power_watts")),
        ecc_uncorrected=_whole(measured.get("ecc_uncorrected")),
        health=health,
        health_reason=", ".join(faults or ()),
        measured_at=about.measured_at,
    )


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((labels[name] for name in names if labels.get(name)), None)


def _instance(labels: Mapping[str, str]) -> str:
    """Return the host of Prometheus' own label, which is the address it scraped."""
    return labels.get("instance", "").rpartition(":")[0].strip("[]")


def _within(value: float | None, most: float = float("inf")) -> float | None:
    return value if value is not None and 0 <= value <= most else None


def _whole(value: float | None) -> int | None:
    return None if _within(value) is None or value is None else int(value)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


# --- NVIDIA: dcgm-exporter --------------------------------------------------------------------------------------------


def _dcgm_measured(values: Values) -> Mapping[str, float | None]:
    engine_percent = _times(values.get("DCGM_FI_PROF_GR_ENGINE_ACTIVE"), 100)
    return {
        "utilisation_percent": values.get("DCGM_FI_DEV_GPU_UTIL", engine_percent),
        "memory_used_mib": values.get("DCGM_FI_DEV_FB_USED"),
        "temperature_celsius": values.get("DCGM_FI_DEV_GPU_TEMP"),
        "power_watts": values.get("DCGM_FI_DEV_POWER_USAGE"),
        "ecc_uncorrected": values.get("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"),
    }


def _dcgm_faults(values: Values) -> Sequence[str] | None:
    xid = values.get("DCGM_FI_DEV_XID_ERRORS")
    remap_failure = values.get("DCGM_FI_DEV_ROW_REMAP_FAILURE")
    ecc = values.get("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL")
    if xid is None and remap_failure is None and ecc is None:
        return None
    return [
        *([f"XID {int(xid)}"] if xid and int(xid) not in APPLICATION_XIDS else ()),
        *_memory_faults(ecc, remap_failure),
    ]


def _memory_faults(ecc: float | None, remap_failure: float | None) -> list[str]:
    return [
        *([f"{int(ecc)} uncorrected ECC errors since the driver was loaded"] if ecc else ()),
        *(["a row of memory could not be remapped"] if remap_failure else ()),
    ]


# --- Ascend: npu-exporter ---------------------------------------------------------------------------------------------


def _npu_measured(values: Values) -> Mapping[str, float | None]:
    # A chip has either kind of memory; the exporter tells both, with a total of 0 for the one that is not there.
    kind = next((kind for kind in ("hbm_", "") if values.get(f"npu_chip_info_{kind}total_memory")), None)
    return {
        "utilisation_percent": values.get("npu_chip_info_utilization"),
        "memory_used_mib": None if kind is None else values.get(f"npu_chip_info_{kind}used_memory"),
        "temperature_celsius": values.get("npu_chip_info_temperature"),
        "power_watts": values.get("npu_chip_info_power"),
    }


def _npu_faults(values: Values) -> Sequence[str] | None:
    healthy = values.get("npu_chip_info_health_status")
    if healthy is None:
        return None
    code = int(values.get("npu_chip_info_error_code", 0))
    return (
        [] if healthy else [f"the vendor's agent calls it unhealthy (error code 0x{code:x})" if code else "unhealthy"]
    )


# --- NVIDIA: nvidia_gpu_exporter --------------------------------------------------------------------------------------


def _smi_measured(values: Values) -> Mapping[str, float | None]:
    return {
        "utilisation_percent": _times(values.get("nvidia_smi_utilization_gpu_ratio"), 100),
        "memory_used_mib": _times(values.get("nvidia_smi_memory_used_bytes"), 2.0**-20),
        "temperature_celsius": values.get("nvidia_smi_temperature_gpu"),
        "power_watts": values.get("nvidia_smi_power_draw_watts"),
        "ecc_uncorrected": values.get("nvidia_smi_ecc_errors_uncorrected_volatile_total"),
    }


def _smi_faults(values: Values) -> Sequence[str] | None:
    ecc = values.get("nvidia_smi_ecc_errors_uncorrected_volatile_total")
    remap_failure = values.get("nvidia_smi_remapped_rows_failure")
    return None if ecc is None and remap_failure is None else _memory_faults(ecc, remap_failure)


EXPORTERS = (
    Exporter(
        names=(
            "DCGM_FI_DEV_GPU_UTIL",
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
            "DCGM_FI_DEV_FB_USED",
            "DCGM_FI_DEV_GPU_TEMP",
            "DCGM_FI_DEV_POWER_USAGE",
            "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
            "DCGM_FI_DEV_XID_ERRORS",
            "DCGM_FI_DEV_ROW_REMAP_FAILURE",
        ),
        uuid_labels=("UUID", "gpu_uuid", "uuid"),
        pci_labels=("pci_bus_id",),
        index_labels=("gpu", "minor_number"),
        measured=_dcgm_measured,
        faults=_dcgm_faults,
    ),
    Exporter(
        names=(
            "npu_chip_info_utilization",
            "npu_chip_info_hbm_used_memory",
            "npu_chip_info_hbm_total_memory",
            "npu_chip_info_used_memory",
            "npu_chip_info_total_memory",
            "npu_chip_info_temperature",
            "npu_chip_info_power",
            "npu_chip_info_health_status",
            "npu_chip_info_error_code",
        ),
        uuid_labels=("vdie_id",),
        pci_labels=("pcie_bus_info",),
        index_labels=("id",),
        measured=_npu_measured,
        faults=_npu_faults,
    ),
    Exporter(
        names=(
            "nvidia_smi_gpu_info",
            "nvidia_smi_utilization_gpu_ratio",
            "nvidia_smi_memory_used_bytes",
            "nvidia_smi_temperature_gpu",
            "nvidia_smi_power_draw_watts",
            "nvidia_smi_ecc_errors_uncorrected_volatile_total",
            "nvidia_smi_remapped_rows_failure",
        ),
        uuid_labels=("uuid",),
        pci_labels=("pci_bus_id",),
        index_labels=("index",),
        measured=_smi_measured,
        faults=_smi_faults,
        uuid_prefix="GPU-",
    ),
)
NAMES = tuple(name for exporter in EXPORTERS for name in exporter.names)
_EXPORTER_OF = {name: number for number, exporter in enumerate(EXPORTERS) for name in exporter.names}
_SHARED_BY_PARTS = frozenset({"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_FB_USED"})

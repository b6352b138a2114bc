"""The first thing asked of a host: its size, clock, programs and what stands on its PCI bus, in one command."""

from msgspec import Struct

from connectors import failures
from connectors.baremetal.ssh import Answer, bounded
from connectors.baremetal.tools.catalog import TOOLS, UNREAD
from connectors.contract import ConnectorError, Denied, Permanent

HELPER = "/usr/local/sbin/ocenter-hostctl"
REFUSED_BY_GATE = 77

_SCRIPT = (
    'echo "name $(uname -n)"; echo "seconds $(date +%s)"; echo "cpus $(nproc)"; '
    'while read -r k v u; do case $k in MemTotal:) echo "memory_kib $v";; esac; done </proc/meminfo; '
    "for f in serial uuid; do p=/sys/class/dmi/id/product_$f; "
    '[ -r $p ] && read -r v <$p && echo "$f $v"; done; '
    # Not "command -v": a tool that the account may no longer run must not pass for one that is not there.
    f"for t in {' '.join((*TOOLS, *UNREAD))}; do (IFS=:; for p in $PATH; do "
    '[ -e "$p/$t" ] && echo "tool $t" && break; done); done; '
    f"[ -x {HELPER} ] && echo helper; "
    "for d in /sys/bus/pci/devices/*; do [ -r $d/class ] && read -r c <$d/class || continue; "
    "case $c in 0x03*|0x12*|0x0b40*) read -r v <$d/vendor; read -r i <$d/device; read -r n <$d/numa_node; "
    'echo "pci ${d##*/} $v $i $n";; esac; done; echo end'
)
LOOK = bounded(f"sh -c '{_SCRIPT}'")
"""Plain reads, which any account may do."""
READS = (LOOK, *(bounded(line) for tool in TOOLS.values() for line in (tool.command, tool.second) if line))
"""All that is ever said to a host to observe it, the helper's own verb aside: what a gate has to let pass."""


class Pci(Struct, frozen=True):
    """An accelerator or display on the bus."""

    pci_id: str
    numa_node: int | None


class Look(Struct, frozen=True, kw_only=True):
    """What a host says of itself. ``epoch_seconds`` is its clock; serial and uuid are seldom readable by an account."""

    name: str
    epoch_seconds: int
    cpu_milli: int
    memory_mib: int
    serial: str | None = None
    uuid: str | None = None
    programs: tuple[str, ...] = ()
    has_helper: bool = False
    pci: dict[str, Pci] = {}


def read(answer: Answer, name: str) -> Look:
    """Return what the answer says. Raises a ConnectorError when the host did not let us look, or broke off."""
    lines = answer.output.splitlines()
    if answer.code != 0 or lines[-1:] != ["end"]:
        raise _refusal(answer, name)
    told: dict[str, list[str]] = {}
    for line in lines[:-1]:
        key, _, value = line.partition(" ")
        told.setdefault(key, []).append(value.strip())
    try:
        return Look(
            name=told["name"][0],
            epoch_seconds=int(told["seconds"][0]),
            cpu_milli=int(told["cpus"][0]) * 1000,
            memory_mib=int(told["memory_kib"][0]) // 1024,
            serial=next(iter(told.get("serial", ())), None),
            uuid=next(iter(told.get("uuid", ())), None),
            programs=tuple(told.get("tool", ())),
            has_helper="helper" in told,
            pci=dict(map(_pci, told.get("pci", ()))),
        )
    except (KeyError, ValueError):
        raise failures.not_this_kind(name, "it has no Linux that tells processors, memory and time") from None


def _pci(text: str) -> tuple[str, Pci]:
    address, vendor, device, numa = text.split()
    ids = f"{vendor.removeprefix('0x')}:{device.removeprefix('0x')}".lower()
    return address.lower(), Pci(ids, int(numa) if int(numa) >= 0 else None)


def _refusal(answer: Answer, name: str) -> ConnectorError:
    words = (answer.complaint or answer.output)[-300:]
    if answer.code == REFUSED_BY_GATE:
        return Denied(
            f"The gate on {name} lets nobody look. Prepare the host again, so that gate and ocenter have one version.",
            code="forbidden",
            platform_words=words,
        )
    if answer.code == 0:
        return failures.truncated(name, "it ended before the host had told all")
    return Permanent(
        f"{name} cannot run a plain shell command for this user. Give the account the shell /bin/sh, and install "
        "coreutils there.",
        code="not_this_kind",
        platform_words=words,
    )

"""The tools whose outputs can be read."""

from connectors.baremetal.tools import (
    amd_smi,
    cnmon,
    hy_smi,
    ixsmi,
    mthreads_gmi,
    mx_smi,
    npu_smi,
    nvidia,
    rocm_smi,
)
from connectors.baremetal.tools.tool import Tool

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        nvidia.TOOL,
        amd_smi.TOOL,
        rocm_smi.TOOL,
        npu_smi.TOOL,
        cnmon.TOOL,
        hy_smi.TOOL,
        ixsmi.TOOL,
        mthreads_gmi.TOOL,
        mx_smi.TOOL,
    )
}
SHADOWED = {"rocm-smi": ("amd-smi", "hy-smi")}
"""Tools that tell the same cards as a better one beside them."""
UNREAD = ("xpu-smi", "ppu-smi")
"""Known tools of which nobody sent a recording: a host that has one is told to be waiting for it."""


def chosen(present: tuple[str, ...]) -> tuple[Tool, ...]:
    """Return the tools to ask on a host that has these programs."""
    return tuple(
        tool
        for name, tool in TOOLS.items()
        if name in present and not any(better in present for better in SHADOWED.get(name, ()))
    )

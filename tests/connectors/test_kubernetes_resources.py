"""The table of Kubernetes resources: every row of it, and names that real clusters showed."""

import msgspec
import pytest

from connectors.kubernetes import resources
from connectors.kubernetes.resources import classify

NAMES = {
    # name: (vendor, kind, profile, shared, MiB a unit)
    "nvidia.com/gpu": ("nvidia", "count", None, False, 0),
    "nvidia.com/gpu.shared": ("nvidia", "count", None, True, 0),
    "nvidia.com/mig-1g.10gb": ("nvidia", "count", "1g.10gb", False, 0),
    "nvidia.com/mig-3g.40gb": ("nvidia", "count", "3g.40gb", False, 0),
    "nvidia.com/mig-1g.10gb.me": ("nvidia", "count", "1g.10gb+me", False, 0),
    "nvidia.com/mig-1c.3g.40gb": ("nvidia", "count", "1c.3g.40gb", False, 0),
    "nvidia.com/mig-1g.10gb.shared": ("nvidia", "count", "1g.10gb", True, 0),
    "nvidia.com/gpumem": ("nvidia", "memory", None, False, 1),
    "nvidia.com/gpumem-percentage": ("nvidia", "memory", None, False, 0),
    "nvidia.com/gpucores": ("nvidia", "cores", None, False, 0),
    "nvidia.com/GH100_H100_SXM5_80GB": ("nvidia", "count", None, False, 0),
    "volcano.sh/vgpu-number": ("nvidia", "count", None, True, 0),
    "volcano.sh/vgpu-memory": ("nvidia", "memory", None, False, 1),
    "volcano.sh/vgpu-cores": ("nvidia", "cores", None, False, 0),
    "huawei.com/Ascend910": ("huawei", "count", None, False, 0),
    "huawei.com/Ascend310P": ("huawei", "count", None, False, 0),
    "huawei.com/Ascend910B3": ("huawei", "count", None, False, 0),
    "huawei.com/npu": ("huawei", "count", None, False, 0),
    "huawei.com/Ascend910-4c": ("huawei", "count", "vir04", False, 0),
    "huawei.com/Ascend310P-4c.3cpu": ("huawei", "count", "vir04_3c", False, 0),
    "huawei.com/Ascend910-10c.3cpu.32g": ("huawei", "count", "vir10_3c_32g", False, 0),
    "huawei.com/Ascend910B3-memory": ("huawei", "memory", None, False, 1),
    "huawei.com/Ascend910B3-core": ("huawei", "cores", None, False, 0),
    "amd.com/gpu": ("amd", "count", None, False, 0),
    "amd.com/cpx_nps4": ("amd", "count", "cpx_nps4", False, 0),
    "cambricon.com/mlu": ("cambricon", "count", None, False, 0),
    "cambricon.com/mlu370": ("cambricon", "count", None, False, 0),
    "cambricon.com/mlu.smlu.vmemory": ("cambricon", "memory", None, False, 256),
    "cambricon.com/mlu370.smlu.vmemory": ("cambricon", "memory", None, False, 256),
    "cambricon.com/mlu.smlu.vcore": ("cambricon", "cores", None, False, 0),
    "hygon.com/dcunum": ("hygon", "count", None, True, 0),
    "hygon.com/dcumem": ("hygon", "memory", None, False, 1),
    "hygon.com/dcucores": ("hygon", "cores", None, False, 0),
    "kunlunxin.com/xpu": ("kunlunxin", "count", None, False, 0),
    "kunlunxin.com/vxpu": ("kunlunxin", "count", None, True, 0),
    "kunlunxin.com/vxpu-memory": ("kunlunxin", "memory", None, False, 1),
    "metax-tech.com/gpu": ("metax", "count", None, False, 0),
    "metax-tech.com/sgpu": ("metax", "count", None, True, 0),
    "metax-tech.com/vcore": ("metax", "cores", None, False, 0),
    "metax-tech.com/vmemory": ("metax", "memory", None, False, 1024),
    "mthreads.com/vgpu": ("mthreads", "count", None, True, 0),
    "mthreads.com/sgpu-memory": ("mthreads", "memory", None, False, 512),
    "mthreads.com/sgpu-core": ("mthreads", "cores", None, False, 0),
    "iluvatar.ai/gpu": ("iluvatar", "count", None, False, 0),
    "iluvatar.ai/MR-V100-vgpu": ("iluvatar", "count", None, True, 0),
    "iluvatar.ai/MR-V100.vMem": ("iluvatar", "memory", None, False, 256),
    "iluvatar.ai/MR-V100.vCore": ("iluvatar", "cores", None, False, 0),
    "enflame.com/gcu": ("enflame", "count", None, False, 0),
    "enflame.com/drs-gcu": ("enflame", "count", None, True, 0),
    "enflame.com/gcu-memory": ("enflame", "memory", None, False, 1),
    "birentech.com/gpu": ("biren", "count", None, False, 0),
    "birentech.com/1-4-gpu": ("biren", "count", "1-4", False, 0),
    "gpu.intel.com/i915": ("intel", "count", None, False, 0),
    "gpu.intel.com/xe": ("intel", "count", None, False, 0),
    "habana.ai/gaudi": ("intel", "count", None, False, 0),
    "aws.amazon.com/neuron": ("aws", "count", None, False, 0),
    "google.com/tpu": ("google", "count", None, False, 0),
    "alibabacloud.com/ppu": ("thead", "count", None, False, 0),
    "cpu": ("", "ignored", None, False, 0),
    "hugepages-2Mi": ("", "ignored", None, False, 0),
    "devices.kubevirt.io/kvm": ("", "ignored", None, False, 0),
    "example.com/widget": ("", "unknown", None, False, 0),
}


class TestClassify:
    @pytest.mark.parametrize("name", NAMES)
    def test_says_what_one_unit_of_a_name_means(self, name):
        vendor, kind, profile, is_shared, unit_mib = NAMES[name]

        found = classify(name)

        assert (found.vendor, found.kind, found.profile) == (vendor, kind, profile)
        assert (found.is_shared, found.unit_mib) == (is_shared, unit_mib)


class TestTable:
    def test_has_no_row_that_an_earlier_one_hides(self):
        rows = resources.table()

        hidden = [
            row.glob
            for position, (_, row) in enumerate(rows)
            if any(pattern.fullmatch(row.glob.replace("*", "x1")) for pattern, _ in rows[:position])
        ]

        assert hidden == []

    @pytest.mark.parametrize(
        "row",
        [
            "{vendor: acme, kind: count}",
            "{glob: acme.com/gpu, kind: count}",
            "{glob: acme.com/gpu, vendor: acme, kind: weight}",
            "{glob: acme.com/*-*, vendor: acme, kind: count}",
            "{glob: acme.com/gpu, vendor: acme, kind: count, profile: '*'}",
            "{glob: acme.com/gpu, vendor: acme, kind: count, colour: red}",
        ],
    )
    def test_with_a_wrong_row_is_refused_by_position(self, row, tmp_path):
        path = tmp_path / "resources.yaml"
        path.write_text(f"- {{glob: acme.com/npu, vendor: acme, kind: count}}\n- {row}\n")

        with pytest.raises(msgspec.ValidationError, match=r"\$\[1\]"):
            resources.read(path)

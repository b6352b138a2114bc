"""The chip catalogue: its data, how a platform's words resolve to a chip, and what becomes of unknown chips."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pools.domain import catalogue, catalogue_files
from pools.domain.catalogue_files import CatalogueError

FOLDER = Path(__file__).parents[2] / "pools" / "catalogue"
CHIPS = catalogue.load(FOLDER)
REVERSED = catalogue.Catalogue(reversed(catalogue_files.read(FOLDER)))

# What tools of real hosts and Kubernetes nodes printed: (vendor, model text, pci id, MiB) -> slug, None: not in it.
SEEN = [
    (("nvidia", "NVIDIA H100 80GB HBM3", "10de:2330", 81559), "nvidia-h100-80gb"),
    (("nvidia", "NVIDIA H100 80GB HBM3", None, 81559), "nvidia-h100-80gb"),
    (("nvidia", "NVIDIA H100 PCIe", None, 81559), "nvidia-h100-pcie-80gb"),
    (("nvidia", "NVIDIA H100 NVL", None, 95830), "nvidia-h100-nvl-94gb"),
    (("nvidia", "900-21010-0320-030", None, 0), "nvidia-h100-nvl-94gb"),
    (("nvidia", "NVIDIA H200", "10de:2335", 143771), "nvidia-h200-141gb"),
    (("nvidia", "NVIDIA GH200 96GB HBM3", None, 0), "nvidia-gh200-96gb"),
    (("nvidia", "NVIDIA GB300", None, 284208), "nvidia-gb300-288gb"),
    (("nvidia", "NVIDIA GB200", None, 0), "nvidia-gb200-186gb"),
    (("nvidia", "NVIDIA GB10", None, 138932), "nvidia-gb10-128gb"),
    (("nvidia", "NVIDIA A100-SXM4-80GB", "10de:20b2", 81920), "nvidia-a100-80gb"),
    (("nvidia", "NVIDIA A100 80GB PCIe", None, 81920), "nvidia-a100-pcie-80gb"),
    (("nvidia", "NVIDIA A100-PCIE-40GB", "10de:20f1", 40960), "nvidia-a100-pcie-40gb"),
    (("nvidia", "NVIDIA A10G", "10de:0000", 23028), "nvidia-a10g-24gb"),
    (("nvidia", "NVIDIA L40S", "10de:26b9", 46068), "nvidia-l40s-48gb"),
    (("nvidia", "Tesla T4", "10de:1eb8", 15360), "nvidia-t4-16gb"),
    (("nvidia", "NVIDIA GeForce RTX 3080", "10de:2216", 10240), "nvidia-rtx-3080-10gb"),
    (("nvidia", "NVIDIA GeForce RTX 4080 SUPER", None, 16376), "nvidia-rtx-4080-super-16gb"),
    (("nvidia", "NVIDIA GeForce RTX 4090", None, 49140), "nvidia-rtx-4090-48gb"),
    (("nvidia", "NVIDIA GeForce RTX 4090", None, 24564), "nvidia-rtx-4090-24gb"),
    (("nvidia", "NVIDIA GeForce RTX 4090 D", None, 24564), "nvidia-rtx-4090-d-24gb"),
    (("nvidia", "NVIDIA GeForce RTX 5090 D", None, 32607), "nvidia-rtx-5090-d-32gb"),
    (("nvidia", "NVIDIA RTX 4000 SFF Ada Generation", "10de:27b0", 20475), "nvidia-rtx-4000-sff-ada-20gb"),
    (("nvidia", "NVIDIA-H100-80GB-HBM3", None, 81559), "nvidia-h100-80gb"),
    (("nvidia", "NVIDIA-H20", None, 97871), "nvidia-h20-96gb"),
    (("nvidia", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", None, 9728), "nvidia-a100-80gb"),
    (("nvidia", "NVIDIA-L40S-SHARED", None, 46068), "nvidia-l40s-48gb"),
    (("nvidia", "NVIDIA-NVIDIA L40S", None, 49140), "nvidia-l40s-48gb"),
    (("nvidia", "NVIDIA-NVIDIA H100", None, 81559), "nvidia-h100-80gb"),
    (("nvidia", "NVIDIA-Tesla V100-PCIE-32GB", None, 32768), "nvidia-v100-pcie-32gb"),
    (("10de", "NVIDIA Corporation GH100 [H100 SXM5 80GB]", "10de:2330", 0), "nvidia-h100-80gb"),
    (("10de", "NVIDIA Corporation Device", "10DE:2330", 0), "nvidia-h100-80gb"),
    (("10de", "NVIDIA Corporation GV100GL [Tesla V100 SXM2 32GB]", "10de:1db5", 0), "nvidia-v100-sxm2-32gb"),
    (("amd", "AMD Instinct MI300X OAM", None, 196592), "amd-mi300x"),
    (("amd", "AMD_Instinct_MI300X_OAM", "1002:74a1", 196608), "amd-mi300x"),
    (("amd", "AMD Instinct MI308X OAM", None, 196592), "amd-mi308x"),
    (("amd", "AMD Instinct MI210", "1002:740f", 65520), "amd-mi210"),
    (("amd", "Arcturus GL-XL [Instinct MI100]", "1002:738c", 32752), "amd-mi100"),
    (("amd", "Radeon Instinct MI50 32GB", "1002:66a1", 32752), "amd-mi50-32gb"),
    (("amd", "AMD Radeon RX 7800 XT", None, 16368), "amd-radeon-rx-7800-xt"),
    (("amd", "Navi 22 [Radeon RX 6700/6700 XT / 6800M]", "1002:73df", 12272), None),
    (("ascend", "310P3", None, 21525), "huawei-ascend-310p-24gb"),
    (("ascend", "310P3", None, 44280), "huawei-ascend-310p-48gb"),
    (("ascend", "310P3", None, 43693), "huawei-ascend-310p-48gb"),
    (("ascend", "910B2", None, 65536), "huawei-ascend-910b2"),
    (("ascend", "910B2C", None, 65536), "huawei-ascend-910b2c"),
    (("huawei", "910B3", None, 0), "huawei-ascend-910b3"),
    (("huawei", "Ascend910B3", None, 65536), "huawei-ascend-910b3"),
    (("huawei", "Ascend910B4-1", None, 65536), "huawei-ascend-910b4-1"),
    (("huawei", "module-910b-8", None, 0), "huawei-ascend-910b"),
    (("huawei", "910Awn-Ascend-V1", None, 0), None),
    (("huawei", "xxx", None, 32768), None),
    (("19e5", "", "19e5:d802", 0), "huawei-ascend-910b"),
    (("cambricon", "MLU370-X8", None, 23374), "cambricon-mlu370-x8"),
    (("cambricon", "MLU590", None, 0), "cambricon-mlu590"),
    (("hygon", "K100_AI", None, 65520), "hygon-k100-ai"),
    (("iluvatar", "Iluvatar BI-V100", None, 32768), "iluvatar-bi-v100"),
    (("iluvatar", "Iluvatar BI-V150S", None, 32768), "iluvatar-bi-v150s"),
    (("metax", "MXC500", None, 65536), "metax-c500"),
    (("metax", "MetaX C550", None, 65536), "metax-c550"),
    (("mthreads", "MTT S5000", None, 81920), "mthreads-s5000"),
    (("thead", "PPU-ZW810E", None, 98304), "thead-ppu-zw810e"),
    (("intel", "", "1da3:1020", 0), "intel-gaudi2"),
]


def resolved(vendor, text, pci_id=None, memory_mib=0, resource=""):
    """The slug of the chip that is found, None when none is."""
    entry = CHIPS.resolve(vendor, text, pci_id, memory_mib, resource)
    return entry.slug if entry else None


class TestData:
    def test_covers_the_vendors_of_the_design_with_at_least_sixty_chips(self):
        wanted = {
            "nvidia", "amd", "intel", "huawei", "cambricon", "hygon", "iluvatar", "metax", "mthreads", "enflame",
            "kunlunxin", "thead",
        }  # fmt: skip

        vendors = {entry.vendor for entry in CHIPS.entries}

        assert len(CHIPS.entries) >= 60 and wanted <= vendors

    def test_has_the_slugs_of_the_api_document(self):
        assert {"nvidia-h100-80gb", "huawei-ascend-910b"} <= CHIPS.by_slug.keys()

    @pytest.mark.parametrize("slug", CHIPS.by_slug)
    def test_names_a_public_source_for_every_chip(self, slug):
        entry = CHIPS.by_slug[slug]

        assert entry.sources
        assert all(re.fullmatch(r"https://[^\s/]+\.[a-z]+(/\S*)?", source.url) for source in entry.sources)
        assert all(len(source.document) > 5 for source in entry.sources)

    @pytest.mark.parametrize("slug", CHIPS.by_slug)
    def test_finds_every_chip_by_its_last_pattern_and_memory(self, slug):
        entry = CHIPS.by_slug[slug]

        assert CHIPS.resolve(entry.vendor, entry.match[-1], None, entry.memory_mib) == entry

    def test_counts_compute_in_a100s(self):
        assert CHIPS.by_slug["nvidia-a100-80gb"].compute_unit_milli == 1000
        assert CHIPS.by_slug["nvidia-h100-80gb"].compute_unit_milli == 3171

    @pytest.mark.parametrize("slug", CHIPS.by_slug)
    def test_never_gives_the_pieces_of_a_card_more_than_the_card(self, slug):
        entry = CHIPS.by_slug[slug]

        for profile in entry.profiles:
            assert 0 < profile.milli * profile.max_per_device <= 1000
            assert 0 < profile.memory_mib * profile.max_per_device <= entry.memory_mib


class TestResolve:
    @pytest.mark.parametrize(("said", "slug"), SEEN)
    def test_knows_what_real_platforms_print(self, said, slug):
        assert resolved(*said) == slug

    def test_takes_the_chip_with_the_pci_id_whatever_the_text_says(self):
        assert resolved("nvidia", "some text of an old pci.ids", "10de:26b9") == "nvidia-l40s-48gb"

    def test_tells_chips_with_one_pci_id_apart_by_their_text(self):
        assert resolved("nvidia", "NVIDIA A16", "10de:25b6", 16384) == "nvidia-a16-16gb"
        assert resolved("nvidia", "NVIDIA A2", "10de:25b6", 15356) == "nvidia-a2-16gb"

    def test_never_guesses_between_two_chips(self):
        assert resolved("10de", "NVIDIA Corporation GA107GL [A2 / A16]", "10de:25b6", 16000) is None
        assert resolved("nvidia", "NVIDIA A100") is None

    def test_tells_siblings_apart_by_memory(self):
        assert resolved("nvidia", "A100", None, 40536) == "nvidia-a100-40gb"
        assert resolved("nvidia", "A100", None, 81251) == "nvidia-a100-80gb"

    def test_refuses_a_device_with_more_memory_than_the_chip_has(self):
        assert resolved("nvidia", "NVIDIA L4", None, 49140) is None

    def test_does_not_mistake_a_longer_name_for_a_shorter_one(self):
        assert resolved("nvidia", "NVIDIA L400") is None
        assert resolved("nvidia", "NVIDIA L40") == "nvidia-l40-48gb"

    def test_looks_at_the_given_vendor_only(self):
        assert resolved("enflame", "S60") == "enflame-s60"
        assert resolved("acme", "NVIDIA H100 80GB HBM3") is None

    def test_finds_the_vendor_by_the_pci_id_when_the_platform_names_none(self):
        assert resolved("", "K100 AI", "1d94:ffff") == "hygon-k100-ai"

    def test_takes_a_resource_name_only_where_there_is_no_text(self):
        assert resolved("huawei", "", None, 0, "huawei.com/Ascend910B3") == "huawei-ascend-910b3"
        assert resolved("huawei", "Ascend999", None, 0, "huawei.com/Ascend910B3") is None
        assert resolved("nvidia", "", None, 0, "nvidia.com/gpu") is None

    @given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=12), st.integers(0, 10**6))
    def test_answers_anything_and_the_same_in_any_order_of_files(self, vendor, text, pci_id, memory_mib):
        found = CHIPS.resolve(vendor, text, pci_id, memory_mib)

        assert found == REVERSED.resolve(vendor, text, pci_id, memory_mib)


class TestDigest:
    def test_is_the_same_for_the_same_facts(self):
        assert catalogue.load(FOLDER).digest == CHIPS.digest

    def test_changes_with_a_fact(self, tmp_path):
        write(tmp_path, CHIP)
        before = catalogue.load(tmp_path).digest

        write(tmp_path, CHIP.replace("1000", "1001"))

        assert catalogue.load(tmp_path).digest != before


class TestUnknownSlug:
    def test_reads_like_the_platforms_name(self):
        assert catalogue.unknown_slug("nvidia", "NVIDIA Foo 900") == "nvidia-unlisted-nvidia-foo-900"

    def test_marks_what_it_had_to_leave_out(self):
        plain, brackets = catalogue.unknown_slug("amd", "Navi 22"), catalogue.unknown_slug("amd", "[Navi 22]")

        assert plain == "amd-unlisted-navi-22" and brackets.startswith(f"{plain}--") and brackets != plain

    @given(st.text(), st.text())
    @example("", "")
    @example("华为", "昇腾" * 60)
    def test_is_a_safe_slug_that_no_chip_has(self, vendor, text):
        slug = catalogue.unknown_slug(vendor, text)

        assert re.fullmatch(r"[a-z0-9]+(-{1,2}[a-z0-9]+)*", slug) and len(slug) <= 100
        assert slug not in CHIPS.by_slug and slug == catalogue.unknown_slug(vendor, text)

    @given(st.text(max_size=300), st.text(max_size=300))
    @example("X1+", "X1")
    @example("a" * 200, "a" * 201)
    @example("昇腾", "海光")
    def test_differs_for_texts_that_differ_in_more_than_case_and_separators(self, one, other):
        def same(text):
            return re.sub(r"[ _-]+", "-", text.lower()).strip("-")

        slugs = {catalogue.unknown_slug("nvidia", one), catalogue.unknown_slug("nvidia", other)}

        assert len(slugs) == 2 or same(one) == same(other)


CHIP = """
vendor: acme
name: Acme
pci_vendors: ["abcd"]
sources: {site: {document: Acme products, url: "https://acme.example/chips"}}
chips:
- {slug: acme-one, name: One, memory_mib: 1000, dense_fp16_tflops: 10, interconnect: pcie, form: pcie,
   match: [One], pci_ids: ["abcd:0001"], source: [site]}
"""


def write(folder, text):
    (folder / "acme.yaml").write_text(text, encoding="utf-8")


class TestLoad:
    def test_reports_every_mistake_with_its_file_and_entry(self, tmp_path):
        write(
            tmp_path,
            CHIP.replace("https://acme", "http://acme").replace("abcd:0001", "ABCD:1").replace("[One]", "['--']")
            + "- {slug: other-two, name: Two}\n",
        )
        (tmp_path / "broken.yaml").write_text("vendor: [")

        with pytest.raises(CatalogueError) as error:
            catalogue.load(tmp_path)

        problems = error.value.problems
        assert any("acme.yaml: source site" in p for p in problems)
        assert any("acme.yaml: acme-one: ABCD:1" in p for p in problems)
        assert any("acme.yaml: acme-one: needs patterns" in p for p in problems)
        assert any("acme.yaml: other-two" in p for p in problems)
        assert any("broken.yaml" in p for p in problems)

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ("acme-one", "other-one", "a slug is acme-"),
            ("acme-one", "acme-unlisted-one", "unlisted is kept"),
            ("source: [site]", "source: []", "no source"),
            ("source: [site]", "source: [web]", "unknown source web"),
            ("memory_mib: 1000", "memory_mib: 0", "must be positive"),
            ("source: [site]", "source: [site], memory_match_mib: [1, 9]", "does not contain"),
            ("source: [site]", "source: [site], cuts: [mig]", "unknown cut mig"),
            ("form: pcie", "form: brick", "brick"),
        ],
    )
    def test_refuses_a_wrong_chip(self, old, new, problem, tmp_path):
        write(tmp_path, CHIP.replace(old, new))

        with pytest.raises(CatalogueError, match=problem):
            catalogue.load(tmp_path)

    @pytest.mark.parametrize(
        ("profile", "problem"),
        [
            ("{name: a, compute: 3, size: 1, starts: [0]}", "compute must be 1 to 2"),
            ("{name: a, compute: 1, size: 2, starts: [1]}", "outside the 2 slots"),
            ("{name: a, compute: 1, size: 2, starts: [0, 1]}", "overlap"),
            ("{name: a, compute: 1}", "needs starts"),
        ],
    )
    def test_refuses_a_wrong_cut(self, profile, problem, tmp_path):
        cut = f"cuts: {{mig: {{name: mig, rule: placed, compute: 2, slots: 2, profiles: [{profile}]}}}}\n"
        write(tmp_path, cut + CHIP)

        with pytest.raises(CatalogueError, match=problem):
            catalogue.load(tmp_path)

    def test_refuses_two_chips_that_nothing_tells_apart(self, tmp_path):
        second = "- " + CHIP.partition("- ")[2].replace("acme-one", "acme-two")
        write(tmp_path, CHIP + second)

        with pytest.raises(CatalogueError, match="both match 'one'"):
            catalogue.load(tmp_path)

    def test_refuses_an_empty_folder(self, tmp_path):
        with pytest.raises(CatalogueError, match="no chips"):
            catalogue.load(tmp_path)

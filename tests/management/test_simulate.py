"""`manage.py simulate`, on a fleet small enough to count by hand."""

import gzip
import json

import pytest
from django.core.management import CommandError, call_command

from pools.domain import policies

NODES = "sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,T4\nn2,64000,262144,2,H100\n"
REQUESTS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\na,1000,1024,1,500,\nb,1000,1024,1,1000,H100\n"


@pytest.fixture
def simulate(tmp_path, capsys):
    def simulate(requests=REQUESTS, nodes=NODES, **options):
        (tmp_path / "nodes.csv").write_text(nodes)
        (tmp_path / "trace.csv.gz").write_bytes(gzip.compress(requests.encode()))
        options = {"seeds": 2, "json": tmp_path / "out.json", "svg": tmp_path / "out.svg"} | options
        call_command("simulate", nodes=tmp_path / "nodes.csv", requests=[tmp_path / "trace.csv.gz"], **options)
        return json.loads(options["json"].read_text()), capsys.readouterr().out, options["svg"].read_text()

    return simulate


class TestSimulate:
    def test_tells_a_result_for_each_seed_and_draws_it(self, simulate):
        told, printed, picture = simulate()

        assert (told["policy"], told["trace"], told["seeds"]) == ("pack", "trace", 2)
        assert [len(told[f"alloc_ratio_at_{at}"]) for at in (100, 130)] == [2, 2]
        assert all(0 < ratio <= 100 for ratio in told["alloc_ratio_at_130"]) and told["decisions_per_second"] > 0
        assert "% placed" in printed and picture.startswith("<svg") and "polyline" in picture

    def test_gives_the_same_result_for_the_same_seeds(self, simulate):
        first, second = simulate()[0], simulate()[0]

        assert first["alloc_ratio_at_130"] == second["alloc_ratio_at_130"]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"requests": REQUESTS.replace("500", "1500")}, "line 2, gpu_milli: 1 to 1000"),
            ({"requests": REQUESTS.replace("num_gpu", "gpus")}, "line 2, num_gpu: the column is missing"),
            ({"nodes": NODES.replace("64000", "-1")}, "line 2, cpu_milli: a whole number"),
            ({"nodes": "sn,cpu_milli,memory_mib,gpu,model\n"}, "no device"),
            ({"seeds": 0}, "--seeds"),
            ({"price": ["T4"]}, "--price: write MODEL=PER_HOUR"),
            ({"price": ["T4=-1"]}, "--price: write MODEL=PER_HOUR"),
        ],
    )
    def test_names_what_is_wrong_and_the_way_out(self, simulate, change, words):
        with pytest.raises(CommandError, match=words):
            simulate(**change)

    @pytest.mark.parametrize("policy", [*policies.NAMES, policies.COMPARED])
    def test_knows_every_policy(self, simulate, policy):
        told, *_ = simulate(policy=policy, price=["T4=1", "H100=9"], order=["H100"])

        assert told["policy"] == policy and all(0 < ratio <= 100 for ratio in told["alloc_ratio_at_130"])

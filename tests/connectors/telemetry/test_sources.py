"""The ways to exporters and to a Prometheus, over real HTTP."""

import json
import threading
import time
from urllib.parse import urlsplit

import pytest
import structlog

from connectors.addresses import BY_DEFAULT
from connectors.contract import ConnectorError, Denied, Permanent
from connectors.telemetry.sources import Sources
from tests.connectors.server import HTML, LOOPBACK, Answer, Authority, json_answer, serving
from tests.connectors.telemetry.test_exporters import dcgm

TOKEN = "prometheus-token-1234"
WELL = dcgm(DCGM_FI_DEV_GPU_UTIL="7", DCGM_FI_DEV_XID_ERRORS="0")


def exporter(text: str = WELL):
    return serving(lambda seen: Answer(body=text.encode()) if seen.path == "/metrics" else Answer(status=404))


def prometheus(seen):
    """Answer as Prometheus does for a pool with one card."""
    if seen.headers.get("authorization") != f"Bearer {TOKEN}":
        return json_answer({"status": "error", "error": f"wrong {seen.headers.get('authorization')}"}, status=401)
    labels = {"UUID": "GPU-1", "gpu": "0", "Hostname": "gpu01", "instance": "10.0.0.1:9400"}
    values = {"DCGM_FI_DEV_GPU_UTIL": "50", "DCGM_FI_DEV_GPU_TEMP": "NaN"}
    name = seen.query["query"]
    series = [{"metric": {"__name__": name, **labels}, "value": [1.5, values[name]]}] if name in values else []
    return json_answer({"status": "success", "data": {"resultType": "vector", "result": series}})


def sources(credential=None, outgoing=LOOPBACK, **settings):
    return Sources(settings, credential or {}, outgoing)


class TestExporters:
    def test_are_read_one_by_one(self):
        with exporter() as one, exporter(WELL.replace("GPU-1", "GPU-2")) as two:
            found = list(sources(exporter_urls=f"{one.url}/metrics\n\n {two.url} \n").telemetry())

        assert [each.utilisation_percent for each in found] == [7, 7]

    def test_that_do_not_name_their_node_are_known_by_its_address(self):
        text = 'npu_chip_info_temperature{id="0",vdie_id=""} 41\n'
        with exporter(text) as one:
            found = list(Sources({"exporter_urls": one.url}, {}, LOOPBACK, {"127.0.0.1": "gpu05"}).telemetry())

        assert [(each.node, each.index) for each in found] == [("gpu05", 0)]

    def test_one_that_is_down_does_not_hide_the_others(self):
        with exporter() as one:
            pool = sources(exporter_urls=f"http://127.0.0.1:1/metrics\n{one.url}/metrics")
            found, seen = list(pool.telemetry()), pool.read()

        assert len(found) == 1 and [each.failure is not None for each in seen] == [True, False]

    def test_when_none_can_be_read_it_says_why(self):
        with pytest.raises(ConnectorError, match=r"cannot be reached"):
            list(sources(exporter_urls="http://127.0.0.1:1/metrics").telemetry())

    @pytest.mark.parametrize("answer", [HTML, Answer(body=b"node_boot_time_seconds 1.4e+09\n"), Answer(body=b"")])
    def test_what_is_no_exporter_of_accelerators_is_told(self, answer):
        with serving(lambda seen: answer) as server:
            (seen,) = sources(exporter_urls=server.url).read()

        assert seen.failure is not None and seen.failure.code == "not_this_kind"

    def test_half_an_answer_is_not_taken(self):
        with serving(lambda seen: Answer(body=WELL.encode(), cut_after=200)) as server:
            (seen,) = sources(exporter_urls=server.url).read()

        assert seen.failure is not None and seen.failure.code == "truncated" and not seen.readings

    def test_an_address_where_nobody_may_connect_is_not_read(self):
        with exporter() as one:
            (seen,) = sources(outgoing=BY_DEFAULT, exporter_urls=one.url).read()

            assert seen.failure is not None and seen.failure.code == "address_denied" and not one.requests

    @pytest.mark.parametrize("line", ["gpu01:9400", "ftp://gpu01/metrics", "http://a:b@gpu01/metrics", "http://[::1"])
    def test_a_line_that_is_no_address_is_refused(self, line):
        with pytest.raises(Permanent) as caught:
            sources(exporter_urls=line)

        assert caught.value.code == "invalid_settings"

    def test_their_certificate_is_checked(self):
        ours, other = Authority(), Authority("Other CA")
        with serving(lambda seen: Answer(body=WELL.encode()), identity=ours.identity()) as server:
            (trusted,) = sources(exporter_urls=server.url, telemetry_ca_pem=ours.pem).read()
            (refused,) = sources(exporter_urls=server.url, telemetry_ca_pem=other.pem).read()

        assert trusted.readings and refused.failure is not None and refused.failure.code == "tls_untrusted"

    def test_without_tls_are_no_reason_for_a_warning(self):
        with structlog.testing.capture_logs() as logged:
            pool = sources(exporter_urls="http://exporter.invalid:9400")
            pool.read()

        assert pool.warnings == () and not [entry for entry in logged if entry["event"] == "connector.trust"]


class TestManyDeadSources:
    """Together they have a time, however many they are."""

    @pytest.fixture
    def silent(self):
        """Listens and never answers."""
        ended = threading.Event()

        def wait(_seen):
            ended.wait(20)
            return Answer(status=500)

        with serving(wait) as server:
            yield server
            ended.set()

    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch):
        monkeypatch.setattr("connectors.telemetry.sources.BUDGET_SECONDS", 1.0)
        monkeypatch.setattr("connectors.telemetry.sources.AT_ONCE", 2)

    def test_end_the_look_in_its_time_and_each_is_named(self, silent):
        urls = [f"{silent.url}/{number}" for number in range(9)]
        began = time.monotonic()

        seen = sources(exporter_urls="\n".join(urls)).read()

        assert time.monotonic() - began < 5
        assert [each.source for each in seen] == urls and {each.failure.code for each in seen} == {"timeout"}
        assert "take out addresses that are dead" in str(seen[-1].failure)

    def test_do_not_hide_what_was_told_in_time_and_are_told(self, silent):
        with exporter() as one, structlog.testing.capture_logs() as logged:
            pool = sources(exporter_urls=f"{one.url}\n" + "\n".join(f"{silent.url}/{number}" for number in range(9)))
            found = list(pool.telemetry())

        (told,) = [entry for entry in logged if entry["event"] == "telemetry.unread"]
        assert len(found) == 1 and (told["count"], told["of"]) == (9, 10) and told["sources"][0].startswith(silent.url)

    def test_leave_a_prometheus_that_answers_slowly_unread_and_not_half_read(self):
        def slowly(seen):
            time.sleep(0.3)
            return prometheus(seen)

        with serving(slowly) as server:
            (seen,) = sources({"prometheus_token": TOKEN}, prometheus_url=server.url).read()
            time.sleep(0.7)
            asked = len(server.requests)
            time.sleep(0.7)

            assert seen.failure is not None and seen.failure.code == "timeout" and seen.readings == ()
            assert len(server.requests) == asked, "nobody goes on asking"


class TestPrometheus:
    def test_with_a_token_and_without_tls_is(self):
        pool = sources({"prometheus_token": TOKEN}, prometheus_url="http://prometheus.example")

        assert "without TLS" in pool.warnings[0]

    def test_is_asked_for_what_it_scraped(self):
        with serving(prometheus) as server:
            (found,) = sources({"prometheus_token": TOKEN}, prometheus_url=server.url).telemetry()

        assert (found.node, found.uuid, found.utilisation_percent) == ("gpu01", "GPU-1", 50)
        assert found.temperature_celsius is None and found.measured_at == "1970-01-01T00:00:01.500000+00:00"

    def test_behind_a_path_is_asked_there(self):
        with serving(prometheus) as server:
            list(sources({"prometheus_token": TOKEN}, prometheus_url=f"{server.url}/prom").telemetry())

            assert {seen.path for seen in server.requests} == {"/prom/api/v1/query"}

    def test_a_wrong_token_is_denied_and_stays_secret(self):
        with serving(prometheus) as server, pytest.raises(Denied) as caught:
            list(sources({"prometheus_token": "wrong-token-5678"}, prometheus_url=server.url).telemetry())

        assert "wrong-token" not in caught.value.platform_words and "wrong-token" not in str(caught.value)

    def test_exporters_never_get_the_token(self):
        with exporter() as one, serving(prometheus) as server:
            settings = {"exporter_urls": one.url, "prometheus_url": server.url}
            list(sources({"prometheus_token": TOKEN}, **settings).telemetry())

            assert one.requests and all("authorization" not in seen.headers for seen in one.requests)

    def test_another_answer_than_prometheus_gives_is_told(self):
        with serving(lambda seen: json_answer({"hello": "world"})) as server:
            (seen,) = sources(prometheus_url=server.url).read()

        assert seen.failure is not None and seen.failure.code == "not_this_kind"
        assert urlsplit(seen.source).hostname == "127.0.0.1" and json.dumps(seen.source)


class TestNoSources:
    def test_tell_nothing_and_ask_nobody(self):
        pool = sources()

        assert not pool and list(pool.telemetry()) == [] and pool.read() == ()

"""Every recorded answer goes over the wire once more, and means to the client what it meant to the recorder."""

import json

import pytest

from connectors.contract import ConnectorError, Denied, Permanent, Transient
from connectors.http import Http
from tests.connectors.kubernetes.double import RECORDED, recorded, recorded_answer
from tests.connectors.server import LOOPBACK, serving

NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))
OUTCOMES = {
    400: (Permanent, "rejected"),
    401: (Denied, "unauthorized"),
    403: (Denied, "forbidden"),
    404: (Permanent, "not_found"),
    405: (Permanent, "rejected"),
    406: (Permanent, "rejected"),
    409: (Permanent, "conflict"),
    410: (Permanent, "gone"),
    415: (Permanent, "rejected"),
    422: (Permanent, "rejected"),
    429: (Transient, "throttled"),
    500: (Transient, "server_error"),
    504: (Transient, "server_error"),
}


def status(name):
    return json.loads((RECORDED / f"{name}.json").read_text())["status"] or 200


def asked(name):
    with serving(lambda seen: recorded_answer(name)) as server:
        client = Http(server.url, outgoing=LOOPBACK)
        try:
            return client.get("/", object)
        finally:
            client.close()


class TestRecordedAnswer:
    def test_is_there_for_every_status_that_matters(self):
        assert {status(name) for name in NAMES} >= set(OUTCOMES) and len(NAMES) >= 75

    @pytest.mark.parametrize("name", [name for name in NAMES if status(name) < 300])
    def test_of_a_success_is_decoded_whole(self, name):
        assert asked(name) == recorded(name)

    @pytest.mark.parametrize("name", [name for name in NAMES if status(name) >= 400])
    def test_of_a_failure_tells_by_its_class_whether_a_retry_helps(self, name):
        kind, code = OUTCOMES[status(name)]
        body = recorded(name)

        with pytest.raises(ConnectorError) as raised:
            asked(name)

        message = body["message"] if isinstance(body, dict) else body
        assert (type(raised.value), raised.value.code) == (kind, code)
        assert raised.value.platform_words == " ".join(message.split())

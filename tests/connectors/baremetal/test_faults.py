"""The faults that every platform has some day, played by the double on all of its hosts at once."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import contextmanager

import asyncssh
import pytest

from connectors.baremetal import observe
from connectors.baremetal.look import LOOK
from connectors.baremetal.ssh import bounded
from connectors.contract import Connector, Permanent
from tests.connectors.baremetal.double_ssh import OTHER_KEY, Site, nvidia_xml, served
from tests.connectors.faults import FaultContract

XML = bounded("nvidia-smi -q -x")


@contextmanager
def talking(words: bytes, host: str = "127.77.9.99"):
    """Serve something that says these words to whoever says something, and hangs up."""
    listener = socket.create_server((host, 0))

    def serve() -> None:
        while True:
            try:
                way, _ = listener.accept()
            except OSError:
                return
            with way:
                way.recv(4096)
                way.sendall(words)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[:2]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def refused_key(site: Site) -> None:
    for host in site.hosts:
        host.accepts = OTHER_KEY


def other_host_keys(site: Site) -> None:
    for host in site.hosts:
        host.key = asyncssh.generate_private_key("ssh-ed25519")


def truncated(site: Site) -> None:
    for host in site.hosts:
        for command in host.replies:
            host.cut_once[command] = 300
        if not host.replies:
            host.cut_once[LOOK] = 10


def nothing_printed(site: Site) -> None:
    for host in site.hosts:
        host.replies[LOOK] = (0, "")


def no_hosts(site: Site) -> None:
    site.hosts.clear()


def one_card_on_two_hosts(site: Site) -> None:
    site["gpu02"].replies[XML] = (0, nvidia_xml("GPU-aa02", "GPU-bb02"))


def long_names(site: Site) -> None:
    for number, host in enumerate(site.hosts):
        host.name = f"{'n' * 10_000}{number}"


def negative_counts(site: Site) -> None:
    for host in site.hosts:
        host.replies = {XML: (0, nvidia_xml("GPU-aa01").replace("15360 MiB", "-5 MiB"))}


def clock_ahead(site: Site) -> None:
    for host in site.hosts:
        host.seconds_ahead = 3600


def moving(site: Site) -> None:
    """The second look finds one of the cards in the other host."""
    first = iter((("GPU-aa01", "GPU-aa02"), ("GPU-aa01",)))
    second = iter((("GPU-bb01", "GPU-bb02"), ("GPU-aa02", "GPU-bb01", "GPU-bb02")))
    site["gpu01"].replies[XML] = lambda _stdin: (0, nvidia_xml(*next(first)))
    site["gpu02"].replies[XML] = lambda _stdin: (0, nvidia_xml(*next(second)))


FAULTS: dict[str, Callable[[Site], None]] = {
    "wrong_credential": refused_key,
    "expired_token": refused_key,  # sshd says the same of a key past its expiry-time
    "untrusted_tls": other_host_keys,
    "truncated_page": truncated,
    "zero_bytes": nothing_printed,
    "empty_list": no_hosts,
    "duplicate_devices": one_card_on_two_hosts,
    "moving_device": moving,
    "long_names": long_names,
    "negative_counts": negative_counts,
    "clock_ahead": clock_ahead,
}


class TestFaultsOfBaremetal(FaultContract):
    @pytest.fixture
    def site(self, monkeypatch):
        monkeypatch.setattr(observe, "HOSTS_PER_PAGE", 3)
        with served() as site:
            yield site

    @pytest.fixture
    def web_page(self):
        with talking(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>no</html>") as place:
            yield place

    @pytest.fixture
    def mail_server(self):
        with talking(b"220 mail.example.org ESMTP\r\n") as place:
            yield place

    @pytest.fixture
    def playing(self, site, web_page, mail_server, open_session):
        def play(fault: str) -> Connector:
            more = {"identity_key": "the-one-before"} if fault == "another_far_end" else {}
            for host in site.hosts:
                if fault == "unreachable":
                    host.port = 9
                elif fault == "dns_failure":
                    host.address = "no-such-host.invalid"
                elif fault in ("web_page", "another_kind_of_server"):
                    host.address, host.port = web_page if fault == "web_page" else mail_server
            FAULTS.get(fault, lambda site: None)(site)
            connector: Connector = open_session("baremetal", site.settings, site.credential, **more)
            return connector

        return play

    def test_f04_a_repeated_page_concludes_nothing(self, site, open_session):
        """Hosts are listed by people, so no page comes twice: a host that is listed twice is refused at once."""
        listed = json.loads(site.settings["hosts"])
        twice = {**site.settings, "hosts": json.dumps([*listed, {**listed[0], "name": "gpu01-again"}])}

        with pytest.raises(Permanent) as raised:
            open_session("baremetal", twice, site.credential)

        assert raised.value.code == "invalid_settings" and "gpu01-again" in str(raised.value)

"""What a page costs: the real web server over fleets of different sizes, its CPU and PostgreSQL's together."""

import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from html import unescape

from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from pools.models import User
from pools.services.bootstrap import ADMIN_NAME
from tests.bench.accounting import Meter, Samples, growth_exponent, percentile
from tests.bench.fleet import Fleet
from tests.bench.frame import Frame, free_port
from tests.bench.load import load

# The ways people look at a page. {next} is the link to the next page.
WAYS = {
    "overview": ("/",),
    "devices": (
        "/devices/", "/devices/?{next}", "/devices/?state=faulty", "/devices/?vendor=huawei", "/devices/?q={uuid}",
        # Rare or absent: what makes a list that is read in order go through all of it.
        "/devices/?state=missing", "/devices/?state=retired", "/devices/?state=partial", "/devices/?state=free",
        "/devices/?state=unavailable", "/devices/?vendor=nobody", "/devices/?q=nosuch",
    ),
    "nodes": (
        "/nodes/", "/nodes/?{next}", "/nodes/?vendor=amd", "/nodes/?q=node-0000",
        "/nodes/?state=missing", "/nodes/?state=unavailable", "/nodes/?label=nobody=has", "/nodes/?q=nosuch",
    ),
    "pools": ("/pools/", "/pools/?{next}", "/pools/?kind=openstack"),
}  # fmt: skip
SIZES = {10_000: "10k", 100_000: "100k", 1_000_000: "1m"}
QUICK_SIZES = {10_000: "10k", 50_000: "50k"}
REQUESTS_PER_SLICE = 5
WARM_UPS = 3
START_SECONDS = 60


def run(frame: Frame) -> None:
    """Measure the overview and the lists at every size, and how they grow with it."""
    sizes, rounds = (QUICK_SIZES, 1) if frame.is_quick else (SIZES, 20)
    medians: dict[str, dict[int, float]] = {noun: {} for noun in WAYS}
    for size, name in sizes.items():
        _fill(frame, size)
        with _console() as (pid, browser):
            for noun, ways in WAYS.items():
                costs = _costs(frame.meter(web=pid), browser, ways, rounds)
                medians[noun][size] = statistics.median(_ms(each.median()) for each in costs.values())
                _record(frame, noun, name, costs)
    for noun, by_size in medians.items():
        note = "of the median, over " + ", ".join(f"{sizes[size]} {ms:.1f} ms" for size, ms in by_size.items())
        frame.results.record(f"{noun}_growth_exponent", growth_exponent(by_size), note)
    frame.empty()


def _record(frame: Frame, noun: str, size: str, costs: Mapping[str, Samples]) -> None:
    every = [_ms(seconds) for each in costs.values() for seconds in each.seconds]
    note = "; ".join(
        f"{way} {_ms(each.median('web')):.1f} + {_ms(each.median('postgresql')):.1f}" for way, each in costs.items()
    )
    if noun == "overview":
        frame.results.record(f"overview_{size}_cpu_ms", statistics.median(every), f"web + postgresql: {note}")
    else:
        frame.results.record(f"{noun}_page_{size}_p95_cpu_ms", percentile(every, 95), f"web + postgresql: {note}")


def _ms(seconds_of_slice: float) -> float:
    return seconds_of_slice / REQUESTS_PER_SLICE * 1000


def _costs(meter: Meter, browser: "Browser", ways: Sequence[str], rounds: int) -> dict[str, Samples]:
    """Return what slices of requests cost for each way of looking at a page; the ways take turns."""
    addresses = {way: browser.address(way) for way in ways}
    for address in list(addresses.values()) * WARM_UPS:
        browser.get(address)  # templates and code are loaded once a process

    def look(address: str) -> None:
        for _ in range(REQUESTS_PER_SLICE):
            browser.get(address)

    works = {way: partial(look, address) for way, address in addresses.items()}
    return meter.alternate(works, rounds)


def _fill(frame: Frame, devices: int) -> None:
    connection.close()
    frame.empty()
    start = time.monotonic()
    with frame.connect() as raw:
        load(raw, Fleet(devices=devices), timezone.now())
    frame.settle()
    print(f"{devices} devices in {time.monotonic() - start:.0f} s", flush=True)


class Browser:
    """One connection of the admin to the console, kept alive as a browser does."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        client = Client()
        client.force_login(User.objects.get(username=ADMIN_NAME))
        connection.close()
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        self._headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}", "Accept": "text/html"}

    def get(self, address: str) -> str:
        """Return the page. Raises: AssertionError when it is none, OSError."""
        self._connection.request("GET", address, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, f"{address}: {answer.status} {body[:500]}"
        return body

    def address(self, way: str) -> str:
        """Fill in what a way leaves open, from the list's first page."""
        if "{next}" in way:
            found = re.search(r'href="\?([^"]*cursor=[^"]+)"', self.get(way.partition("?")[0]))
            return way.format(next=unescape(found[1])) if found else way.partition("?")[0]
        return way.format(uuid="GPU-0001-0000000003e8")


@contextmanager
def _console() -> Iterator[tuple[int, Browser]]:
    """Start the web server as `manage.py up` does; give its process id and a browser that is logged in."""
    port = free_port()
    environment = os.environ | {"OCENTER_PORT": str(port), "OCENTER_LOG_LEVEL": "info"}
    command = [sys.executable, "-m", "ocenter.web"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(server, port)
        yield server.pid, Browser(port)
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def wait_for(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("The web server does not start; try `python -m ocenter.web`.") from None
            time.sleep(0.1)

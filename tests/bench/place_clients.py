"""Clients of the REST API that ask at the same time, each on a connection of its own, and the server they ask."""

import http.client
import json
import os
import queue
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.bench.frame import free_port
from tests.bench.pages import START_SECONDS, wait_for

Call = tuple[str, str, Any]  # address, token, body


class Clients:
    """So many clients of one server. ``statuses`` counts what they were answered."""

    def __init__(self, port: int, count: int) -> None:
        self._connections: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()
        for _ in range(count):
            self._connections.put(http.client.HTTPConnection("127.0.0.1", port, timeout=120))
        self._threads = ThreadPoolExecutor(count)
        self.statuses: Counter[int] = Counter()

    def post(self, call: Call) -> Any:
        """Post once, with a new Idempotency-Key; return the answer's body. Raises: OSError."""
        address, token, body = call
        connection = self._connections.get()
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            headers["Idempotency-Key"] = str(uuid4())
            connection.request("POST", address, body=json.dumps(body), headers=headers)
            answer = connection.getresponse()
            said = json.loads(answer.read() or b"null")
        finally:
            self._connections.put(connection)
        self.statuses[answer.status] += 1
        return said

    def post_all(self, calls: Sequence[Call]) -> list[Any]:
        """Post all, as many at once as there are clients; return the answers' bodies in order."""
        return list(self._threads.map(self.post, calls))

    def each(self, work: Callable[[int], None], count: int) -> None:
        """Let so many clients do a work of their own at once."""
        list(self._threads.map(work, range(count)))


@contextmanager
def serving(clients: int) -> Iterator[tuple[int, Clients]]:
    """Start the web server as `manage.py up` does; give its process id and clients."""
    port = free_port()
    # The allowance is counted as always, and is so large that nobody meets it.
    environment = os.environ | {"OCENTER_PORT": str(port), "OCENTER_LOG_LEVEL": "info"}
    environment["OCENTER_API_REQUESTS_PER_MINUTE"] = "1000000"
    command = [sys.executable, "-m", "ocenter.web"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(server, port)
        yield server.pid, Clients(port, clients)
    finally:
        server.terminate()
        server.wait(START_SECONDS)

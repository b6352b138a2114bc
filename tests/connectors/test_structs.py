"""Types that many threads use for the first time at once."""

import subprocess
import sys

# Of processes that do not learn before, one in five is killed.
READING = """
import os, sys, threading
from msgspec import Struct, convert
from connectors import structs

class Card(Struct):
    number: int
class Node(Struct):
    cards: list[Card]
    by_name: dict[str, Card]
    first: Card | None = None
class Fleet(Struct):
    nodes: list[Node]
    spare: Card | None = None
    more: tuple[Node, ...] = ()

structs.learn()
killed = 0
for _ in range(30):
    if (pid := os.fork()) == 0:
        sys.setswitchinterval(1e-6)
        together = threading.Barrier(16)
        def read():
            together.wait()
            convert({"nodes": [{"cards": [{"number": 1}], "by_name": {}}], "spare": {"number": 2}}, Fleet)
        threads = [threading.Thread(target=read) for _ in range(16)]
        [each.start() for each in threads]
        [each.join() for each in threads]
        os._exit(0)
    killed += os.waitpid(pid, 0)[1] != 0
print(killed)
"""


class TestTypes:
    def test_that_were_learnt_before_kill_no_process_with_threads(self):
        assert killed(READING) == 0


def killed(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    return int(done.stdout)

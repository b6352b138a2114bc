"""Types of msgspec in processes with threads.

msgspec learns what it has to know of a type at its first use. Two threads that use one for the first time at the same
moment end the process by a segmentation fault (seen with 0.22.0). So one thread learns all before the others begin.
"""

import threading
from collections.abc import Iterator
from contextlib import suppress

import msgspec

_lock = threading.Lock()
_learnt: set[type[msgspec.Struct]] = set()


def learn() -> None:
    """Let msgspec know every type that is defined by now; at once where it does already.

    To be called when all modules are loaded and before anything runs beside.
    """
    with _lock:
        for each in set(_below(msgspec.Struct)) - _learnt:
            with suppress(TypeError):  # it can be no part of JSON, so nobody will read it
                msgspec.json.Decoder(each)
            _learnt.add(each)


def _below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)

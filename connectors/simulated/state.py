"""What a simulated fleet remembers: the orders it carries, what happened to it, and how it shall misbehave.

One JSON file per fleet, replaced as a whole under a lock, so several processes and a person with an editor can use it
at once, and a process that dies in the middle leaves the old or the new state, never half of one.
"""

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from connectors.contract import Order, Permanent, UseFact

When = Literal["before", "during", "after"]
Stamp = tuple[int, ...]


class Fault(Struct, kw_only=True):
    """The next ``times`` calls of a name fail (-1: all of them, "*": any call).

    ``during`` an observation means after its first page, ``during`` an apply after its first order. ``after`` means
    that the effect is there and the answer is lost. ``code`` is one of ``faults.CODES``, or ``deleted``: somebody else
    takes the target away ``during`` an apply, which goes on as if nothing had been.
    """

    code: str
    call: str = "*"
    when: When = "before"
    times: int = 1


class Knobs(Struct, kw_only=True):
    """How the platform behaves, from the next call on."""

    latency_ms: int = 0
    faults: list[Fault] = field(default_factory=list)
    missing_watch: tuple[str, ...] = ()
    missing_manage: tuple[str, ...] = ()
    identity: str = ""
    version: str = "1"
    clock_ahead_seconds: int = 0
    churn_seconds: int = 0
    pending_calls: int = 0
    does_nothing: bool = False
    is_empty: bool = False
    repeats_page: bool = False
    doubles_devices: bool = False
    has_long_names: bool = False
    has_negative_counts: bool = False
    unreachable_after_observations: int = -1


class World(Struct, kw_only=True):
    """What happened to the fleet. A path is ``node ref/device ref``.

    ``health`` has a reason for each faulty device, or an empty text for one that healed. ``uses`` are by others than
    us, or carry a marker of ours that no order explains. ``moved`` leads from a path to the device's present node.
    """

    health: dict[str, str] = field(default_factory=dict)
    uses: dict[str, UseFact] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    off: set[str] = field(default_factory=set)
    cordoned: dict[str, str] = field(default_factory=dict)


class Placed(Struct, frozen=True):
    """Where an order was put: a share of one device or counter."""

    path: str
    milli: int
    memory_mib: int


class TargetState(Struct, kw_only=True):
    """A target as the platform keeps it. One that nobody's installation made belongs to somebody else: None."""

    generation: int
    orders: dict[str, Order] = field(default_factory=dict)
    placed: dict[str, list[Placed]] = field(default_factory=dict)
    is_held: bool = False
    is_marked: bool = True
    installation: str | None = ""
    pending_calls: int = 0


class State(Struct, kw_only=True):
    """All of it. ``removed`` keeps the last generation of removed targets, so that a late call cannot revive one.

    ``version`` grows with every change, and ``changed`` has the version in which a node last changed.
    """

    version: int = 0
    observations: int = 0
    knobs: Knobs = field(default_factory=Knobs)
    world: World = field(default_factory=World)
    targets: dict[str, TargetState] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)


class Store:
    """The state of one fleet. Without a folder it lives as long as the store."""

    def __init__(self, folder: str | None, fleet: str) -> None:
        self._kept = msgspec.json.encode(State())
        self._lock = threading.RLock()
        self._path: Path | None = None
        self._seen: tuple[bytes | Stamp, State] | None = None
        if folder:
            if not Path(folder).is_dir():
                raise Permanent(f"The state folder {folder} does not exist; make it first.", code="invalid_settings")
            self._path = Path(folder, f"{fleet}.json")

    @property
    def exists(self) -> bool:
        """Tell whether anything was kept yet."""
        return self._path is not None and self._path.exists()

    def read(self) -> State:
        """Return the present state. It is not to be changed: who reads it again gets the same one."""
        stamp = self._stamp()
        seen = self._seen
        if seen is None or seen[0] != stamp:
            seen = self._seen = (stamp, self._decoded())  # maybe newer than the stamp, so that it is read once more
        return seen[1]

    @contextmanager
    def changing(self) -> Iterator[State]:
        """Yield the state to be changed; nobody else changes it meanwhile. An exception leaves it as it was."""
        with self._lock, self._file_lock():
            before, state = self.read(), self._decoded()
            yield state
            if touched := _touched(before, state):
                state.version += 1
                state.changed |= dict.fromkeys(touched, state.version)
            content = msgspec.json.format(msgspec.json.encode(state), indent=1)
            self._seen = (self._write(content), state)

    def fail(self, code: str, *, call: str = "*", when: When = "before", times: int = 1) -> None:
        """Let the next calls fail."""
        with self.changing() as state:
            state.knobs.faults.append(Fault(code=code, call=call, when=when, times=times))

    def take_fault(self, call: str, when: When) -> str | None:
        """Return the code with which a call shall fail now, and count it."""
        if not any(_is_due(fault, call, when) for fault in self.read().knobs.faults):
            return None
        with self.changing() as state:
            return take_fault(state, call, when)

    def _stamp(self) -> bytes | Stamp:
        """Return what tells this content from every other."""
        if self._path is None:
            return self._kept
        try:
            return _stamp(self._path.stat())
        except FileNotFoundError:
            return ()

    def _decoded(self) -> State:
        if self._path is None:
            return msgspec.json.decode(self._kept, type=State)
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except msgspec.DecodeError as error:
            raise Permanent(
                f"The state of the simulated fleet in {self._path} is damaged: {error}. Repair or remove that file.",
                code="invalid_settings",
            ) from None

    def _write(self, content: bytes) -> bytes | Stamp:
        """Keep the content; return its stamp. Not synced to the disk: only processes die here, the machine does not."""
        if self._path is None:
            self._kept = content
            return content
        with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=self._path.stem, delete=False) as file:
            file.write(content)
            file.flush()
            # By itself the time has steps of some ms, in which a file may come and go and another get its number.
            os.utime(file.fileno(), ns=(time.time_ns(),) * 2)
            stamp = _stamp(os.fstat(file.fileno()))
        Path(file.name).replace(self._path)
        return stamp

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        with self._path.with_suffix(".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def take_fault(state: State, call: str, when: When) -> str | None:
    """The same in a state that is being changed."""
    for fault in state.knobs.faults:
        if _is_due(fault, call, when):
            fault.times -= 1 if fault.times > 0 else 0
            state.knobs.faults = [left for left in state.knobs.faults if left.times]
            return fault.code
    return None


def _is_due(fault: Fault, call: str, when: str) -> bool:
    return fault.when == when and fault.call in ("*", call)


def _stamp(found: os.stat_result) -> Stamp:
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _touched(before: State, after: State) -> list[str]:
    """Return the nodes of which the two states tell different things."""
    targets = before.targets.keys() | after.targets.keys()
    differ = {ref for ref in targets if before.targets.get(ref) != after.targets.get(ref)}
    one, other = (
        by_node(replace(state, targets={ref: state.targets[ref] for ref in differ & state.targets.keys()}))
        for state in (before, after)
    )
    return [node for node in one.keys() | other.keys() if one.get(node) != other.get(node)]


def node_of(path: str) -> str:
    """Return the node's ref in a path."""
    return path.partition("/")[0]


def by_node(state: State) -> dict[str, list[object]]:
    """Return what makes each touched node differ from what it was born as."""
    found: dict[str, list[object]] = {}
    world = state.world
    for path, reason in world.health.items():
        found.setdefault(node_of(path), []).append((path, reason))
    for path, use in world.uses.items():
        found.setdefault(node_of(path), []).append((path, use))
    for path, node in world.moved.items():
        found.setdefault(node_of(path), []).append((path, node))
        found.setdefault(node, []).append((path, node))
    for node in sorted(world.gone | world.off):
        found.setdefault(node, []).append((node in world.gone, node in world.off))
    for node, reason in world.cordoned.items():
        found.setdefault(node, []).append(reason)
    for ref, target in state.targets.items():
        for marker, places in target.placed.items():
            for placed in places:
                found.setdefault(node_of(placed.path), []).append((ref, marker, target.is_marked, placed))
    return found

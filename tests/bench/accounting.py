"""CPU seconds of whole process trees: what a piece of work costs, whoever does it and however busy the machine is.

Wall time on a shared machine says more about the neighbours than about the work, so nothing here measures it.
The figures are user + system seconds of every process of the trees, those that already ended included.
"""

import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# A process that starts or ends while the tree is read makes a second reading necessary.
READINGS = 20


class NotOnThisMachine(Exception):
    """The process to account for is not visible in /proc."""


@dataclass(frozen=True, slots=True)
class _Stat:
    """What /proc/PID/stat tells. ``reaped_seconds`` is the CPU time of children that ended and were waited for."""

    parent: int
    reaped_seconds: float


def trees(roots: Collection[int]) -> dict[int, frozenset[int]]:
    """Return for each root the process ids of it and all its living descendants, save the trees of other roots.

    Raises: NotOnThisMachine when there is no such process.
    """
    children: dict[int, list[int]] = {}
    for pid in (int(name) for name in os.listdir(PROC) if name.isdecimal()):
        if (stat := _stat(pid)) is not None:
            children.setdefault(stat.parent, []).append(pid)
    return {root: _descendants(root, children, roots) for root in roots}


def _descendants(root: int, children: Mapping[int, Sequence[int]], apart: Collection[int]) -> frozenset[int]:
    parent(root)
    members, new = set[int](), [root]
    while new:
        members.add(pid := new.pop())
        new += [child for child in children.get(pid, ()) if child not in apart]
    return frozenset(members)


def cpu_seconds(roots: Collection[int], *, only_children_of: int | None = None) -> dict[int, float]:
    """Return user + system seconds that the processes of each root's tree used since each of them began.

    Exact to a nanosecond for living processes and to a clock tick (10 ms) for those that ended. Of one process only the
    children that ended may be counted, since the reader's own clock runs while it reads.
    Raises: NotOnThisMachine.
    """
    members = trees(roots)
    for _ in range(READINGS):
        seconds = {root: [_cpu_seconds(pid, pid == only_children_of) for pid in members[root]] for root in roots}
        # A process that ended between the two looks is counted twice or not at all: it depends on who was read first.
        if (now := trees(roots)) == members:
            return {root: math.fsum(second for second in seconds[root] if second is not None) for root in roots}
        members = now
    raise NotOnThisMachine(f"The process trees of {roots} change too fast to be read.")


def peak_rss_mib(pid: int) -> float:
    """Return the largest resident memory that a living process had so far (VmHWM).

    Raises: NotOnThisMachine.
    """
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError as error:
        raise NotOnThisMachine(f"There is no process {pid} on this machine.") from error
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def parent(pid: int) -> int:
    """Return the parent's process id. Raises: NotOnThisMachine."""
    if (stat := _stat(pid)) is None:
        raise NotOnThisMachine(f"There is no process {pid} on this machine.")
    return stat.parent


def _cpu_seconds(pid: int, reaped_only: bool) -> float | None:
    # The kernel's clock of a process (clock_getcpuclockid(3): ~pid << 3 | 2) counts all its threads, those that ended
    # included, in nanoseconds; /proc/PID/stat has the same number cut to ticks.
    try:
        living = 0.0 if reaped_only else time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None
    stat = _stat(pid)
    return None if stat is None else living + stat.reaped_seconds


def _stat(pid: int) -> _Stat | None:
    try:
        # The second field is the command in brackets and may hold blanks and brackets itself.
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return _Stat(parent=int(fields[1]), reaped_seconds=(int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND)


@dataclass(slots=True)
class Samples:
    """What repeated slices of one work cost: CPU seconds per part (``app``, ``postgresql``, ...)."""

    slices: list[Mapping[str, float]] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        return [math.fsum(parts.values()) for parts in self.slices]

    def median(self, part: str | None = None) -> float:
        """Return the median CPU seconds of a slice, of all parts or of one."""
        return statistics.median(parts[part] for parts in self.slices) if part else statistics.median(self.seconds)

    def __str__(self) -> str:
        """Say how the median splits up."""
        return " + ".join(f"{part} {self.median(part):.3f}" for part in self.slices[0])


class Meter:
    """Measures works by the process trees that take part in them, each under a name.

    One root may be a descendant of another, such as a server that this process started: each process counts once.
    """

    def __init__(self, **roots: int) -> None:
        self.roots = roots

    def measure(self, work: Callable[[], object]) -> Mapping[str, float]:
        """Do the work once and return its CPU seconds by part. The reading itself is not counted."""
        if os.getpid() in self.roots.values():
            gc.collect()  # so that one slice does not pay for the rubbish of the one before
        before = cpu_seconds(self.roots.values(), only_children_of=os.getpid())
        own = time.process_time()
        work()
        own = time.process_time() - own
        after = cpu_seconds(self.roots.values(), only_children_of=os.getpid())
        return {
            name: after[root] - before[root] + (own if root == os.getpid() else 0) for name, root in self.roots.items()
        }

    def repeat(self, work: Callable[[], object], rounds: int) -> Samples:
        """Do one work several times."""
        return self.alternate({"work": work}, rounds)["work"]

    def alternate(self, works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Samples]:
        """Do all works in turns (A B A B ...), so that a neighbour on the machine disturbs each of them alike."""
        samples = {name: Samples() for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                samples[name].slices.append(self.measure(work))
        return samples


def ratio(slow: Samples, fast: Samples) -> float:
    """Return how many times more CPU one work takes, as the median over the pairs of slices that ran side by side."""
    return statistics.median(one / other for one, other in zip(slow.seconds, fast.seconds, strict=True))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the nearest-rank percentile of the values, of which there must be one at least."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def growth_exponent(costs: Mapping[int, float]) -> float:
    """Return e of cost = c * size ** e, fitted over sizes: 0 does not grow, 1 grows with the size.

    Costs must be above 0, and two sizes are needed at least.
    """
    sizes, seconds = zip(*costs.items(), strict=True)
    return statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in seconds]).slope

"""Who uses which card of a host. Pure.

A host names the VMs on each card and a VM names its profiles, but nobody says which of a VM's vGPUs lies on which card:
what is certain is worked out, and for the rest a card counts as used as much as it may be.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, product

from msgspec import Struct, field

from connectors.contract import UseFact
from connectors.vsphere.profiles import Card, Profile, Share, card, fit_together, free, share

_MOST_CASES = 64
UNKNOWN = Profile("unknown")


class Machine(Struct, kw_only=True):
    """A VM that has devices or our marker. ``profiles`` and ``addresses`` (PCI) are once for each device.

    ``orders`` is what our marker says, by marker, in the words of ``vm.wanted``; empty for a VM that is not ours, and
    ``marker`` stands for those that cannot be told apart. ``is_told`` is False where its devices may not be seen.
    """

    name: str
    host: str = ""
    is_on: bool = True
    profiles: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    orders: Mapping[str, Sequence[str]] = {}
    marker: str | None = None
    is_told: bool = True
    memory_reserved_mib: int = 0
    cpu_reserved_mhz: int = 0

    @property
    def has_devices(self) -> bool:
        """Whether it has, or wants when it is on, a PCI device or a share of one."""
        return bool(self.profiles or self.addresses)


class Piece(Struct, kw_only=True):
    """A vGPU on a card: one of ``candidates``, which are several where nobody can tell.

    ``is_there`` is False for one that may as well be on another card of its VM.
    """

    vm: str
    candidates: tuple[Profile, ...]
    is_there: bool = True

    @property
    def is_certain(self) -> bool:
        """Whether it is known to be there, and as what."""
        return self.is_there and len(self.candidates) == 1

    def biggest(self, on: Card) -> Profile:
        """Return what it takes at most."""
        return max(self.candidates, key=lambda each: (share(on, each).milli, each.name))


class Cut(Struct, kw_only=True):
    """A card that is cut, with the VMs that the host names on it (once for each vGPU, or once for all)."""

    card: Card
    vms: tuple[str, ...]
    pieces: list[Piece] = field(default_factory=list)

    def certain(self) -> list[Profile]:
        """Return the profiles that are known to be on it."""
        return [piece.candidates[0] for piece in self.pieces if piece.is_certain]

    def cases(self) -> list[tuple[Profile, ...]]:
        """Return what may be on it. Where that is too much to look at, the biggest of all pieces stand for it."""
        certain = self.certain()
        biggest = tuple(piece.biggest(self.card) for piece in self.pieces)
        choices = [
            (*((each,) for each in piece.candidates), *(((),) if not piece.is_there else ()))
            for piece in self.pieces
            if not piece.is_certain
        ]
        found = list(islice(product(*choices), _MOST_CASES + 1))
        if len(found) > _MOST_CASES:
            return [biggest]
        cases = {tuple(sorted((*certain, *chain(*case)), key=lambda each: each.name)) for case in found}
        return [case for case in cases if fit_together(self.card, case)] or [biggest]

    def room(self, offered: Iterable[Profile]) -> dict[str, int]:
        """Return how many more of each profile fit, whichever case is true."""
        cases = self.cases()
        return {each.name: min(free(self.card, case, each) for case in cases) for each in offered}


def spread(cuts: Sequence[Cut], machines: Mapping[str, Machine], sizes: Mapping[str, Profile]) -> None:
    """Put the vGPUs of VMs on the cards where they are, as far as that is known."""
    listed: dict[str, list[int]] = {}
    for index, cut in enumerate(cuts):
        for vm in cut.vms:
            listed.setdefault(vm, []).append(index)
    unclear: list[tuple[Cut, Piece]] = []
    left: dict[str, Counter[str]] = {}
    for vm, indexes in listed.items():
        machine = machines.get(vm)
        names = machine.profiles if machine is not None and machine.is_told else ()
        wanted = [sizes.get(name) or Profile(name) for name in names] or [UNKNOWN]
        if len(set(indexes)) == 1 and len(wanted) >= len(indexes):
            cuts[indexes[0]].pieces += [Piece(vm=vm, candidates=(each,)) for each in wanted]
            continue
        kinds = tuple(dict.fromkeys(wanted))
        more = len(wanted) - len(indexes)
        for index in indexes:
            cuts[index].pieces.append(Piece(vm=vm, candidates=kinds))
            unclear.append((cuts[index], cuts[index].pieces[-1]))
        for index in sorted(set(indexes)) * more:
            cuts[index].pieces.append(Piece(vm=vm, candidates=kinds, is_there=False))
        if more == 0:
            left[vm] = Counter(names)
    _narrow([each for each in unclear if not each[1].is_certain], left)


def _narrow(unclear: Sequence[tuple[Cut, Piece]], left: Mapping[str, Counter[str]]) -> None:
    """Strike out what cannot lie beside what is certain, until nothing more follows.

    ``left`` are the vGPUs not found yet of VMs that are listed once for each of theirs.
    """
    has_changed = True
    while has_changed:
        has_changed = False
        for cut, piece in [each for each in unclear if not each[1].is_certain]:
            beside, names = cut.certain(), left.get(piece.vm)
            fitting = tuple(
                each
                for each in piece.candidates
                if (names is None or names[each.name]) and fit_together(cut.card, [*beside, each])
            )
            if fitting and len(fitting) < len(piece.candidates):
                piece.candidates, has_changed = fitting, True
                if piece.is_certain and names is not None:
                    names[fitting[0].name] -= 1


class Marks:
    """Hands out the markers of a VM's orders, each as often as it asked for a device."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines
        self._left: dict[str, dict[str, list[str]]] = {}

    def take(self, vm: str, word: str) -> str | None:
        """Return the marker of the order that a device belongs to; ``word`` is its profile or its address."""
        machine = self._machines.get(vm)
        if machine is None:
            return None
        left = self._left.setdefault(vm, {marker: list(words) for marker, words in machine.orders.items()})
        for marker, words in left.items():
            if word in words:
                words.remove(word)
                return marker
        return machine.marker


def of_cut(cut: Cut, machines: Mapping[str, Machine], marks: Marks) -> tuple[UseFact, ...]:
    """Return who uses a card that is cut. Together never more than the card."""
    milli, memory_mib, found = 1000, cut.card.memory_mib, []
    for piece in sorted(cut.pieces, key=lambda piece: not piece.is_certain):
        biggest = piece.biggest(cut.card)
        takes = share(cut.card, biggest)
        taken = Share(min(milli, takes.milli), min(memory_mib, takes.memory_mib))
        milli, memory_mib = milli - taken.milli, memory_mib - taken.memory_mib
        found.append(
            UseFact(
                holder=holder(piece.vm, machines),
                milli=taken.milli,
                memory_mib=taken.memory_mib,
                marker=marks.take(piece.vm, biggest.name),
            )
        )
    return tuple(found)


def of_whole(
    address: str, memory_mib: int, bound: str | None, machines: Mapping[str, Machine], marks: Marks
) -> tuple[UseFact, ...]:
    """Return who has a whole card: the VM that the host binds to it, else one that is on and has its address."""
    owner = bound or next(_with_address(address, machines), None)
    if owner is None:
        return ()
    marker = marks.take(owner, address)
    return (UseFact(holder=holder(owner, machines), milli=1000, memory_mib=memory_mib, marker=marker),)


def of_absent(
    cards: Mapping[str, int], machines: Mapping[str, Machine], sizes: Mapping[str, Profile], marks: Marks
) -> dict[str, tuple[UseFact, ...]]:
    """Return who was on cards that their host shows no more, by address; ``cards`` are their MiB.

    ``machines`` are on no card that is shown. Those that run keep what they have: a fixed card, or a share of one of
    these, and nobody tells of which.
    """
    found: dict[str, list[UseFact]] = {address: [] for address in cards}
    for address, memory_mib in cards.items():
        found[address] += of_whole(address, memory_mib, None, machines, marks)
    for vm, machine in machines.items():
        for name in machine.profiles if machine.is_on else ():
            each = sizes.get(name) or Profile(name)
            takes = {address: share(card(memory, "", [each]), each) for address, memory in cards.items()}
            room = {address: 1000 - sum(use.milli for use in found[address]) for address in cards}
            for here in [address for address in cards if takes[address].milli <= room[address]][:1]:
                use = UseFact(
                    holder=holder(vm, machines),
                    milli=takes[here].milli,
                    memory_mib=takes[here].memory_mib,
                    marker=marks.take(vm, name),
                    is_counted=True,
                )
                found[here].append(use)
    return {address: tuple(uses) for address, uses in found.items()}


def holder(vm: str, machines: Mapping[str, Machine]) -> str:
    """Return a VM's name; the id of one that may not be seen."""
    return machines[vm].name if vm in machines and machines[vm].name else vm


def _with_address(address: str, machines: Mapping[str, Machine]) -> Iterator[str]:
    return (vm for vm, machine in machines.items() if machine.is_on and address in machine.addresses)


def waiting(machines: Iterable[Machine], cards: Container[str]) -> list[str]:
    """Return the names of VMs that are off and will want a vGPU, or one of these cards, when they are switched on."""
    off = (machine for machine in machines if not machine.is_on)
    return sorted(each.name for each in off if each.profiles or any(address in cards for address in each.addresses))

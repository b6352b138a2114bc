"""Whether one more piece fits on a card that is cut already: a pure function of the card's layout."""

from collections.abc import Iterable

from msgspec import Struct

from pools.domain.chips import Cut, Entry, Profile


class Piece(Struct, frozen=True, kw_only=True):
    """A piece of a card. ``start`` is its first memory slot where pieces lie at fixed places, else its number."""

    profile: str
    start: int


Layout = tuple[Piece, ...]


class Placement(Struct, frozen=True, kw_only=True):
    """Where a piece would lie and what it takes of the card."""

    profile: str
    start: int
    milli: int
    memory_mib: int


class Share(Struct, frozen=True, kw_only=True):
    """What pieces take of one card; a whole card is 1000 milli."""

    milli: int
    memory_mib: int


def fits(entry: Entry, layout: Layout, profile: str) -> Placement | None:
    """Say where one more piece of ``profile`` may lie beside ``layout``; None when it may not.

    None too when the chip has no such profile, or when the layout is not one that the catalogue can explain: nothing
    is promised on a card that we do not understand. Of several places the one that keeps most others usable is taken.
    Source: NVIDIA MIG user guide (supported profiles), vGPU user guide (one size a card), MindCluster vNPU templates.
    """
    if (known := _card(entry, layout, profile)) is None:
        return None
    cut, pieces, wanted = known
    starts = _starts(cut, pieces, wanted)
    if not starts:
        return None
    start = max(starts, key=lambda start: (_still_usable(cut, (*pieces, (wanted, start))), -start))
    return Placement(profile=wanted.name, start=start, milli=wanted.milli, memory_mib=wanted.memory_mib)


def room(entry: Entry, layout: Layout, profile: str) -> int:
    """How many more pieces of ``profile`` fit beside ``layout``.

    The places of one profile never overlap each other (the catalogue checks it), so taking them one by one is exact.
    """
    if (known := _card(entry, layout, profile)) is None:
        return 0
    cut, pieces, wanted = known
    count = 0
    while starts := _starts(cut, pieces, wanted):
        pieces = (*pieces, (wanted, starts[0]))
        count += 1
    return count


def is_legal(entry: Entry, layout: Layout) -> bool:
    """Whether the pieces can be on one card together. An empty layout is an uncut card."""
    if not layout:
        return True
    if (found := entry.find_profile(layout[0].profile)) is None:
        return False
    cut, placed = found[0], list[tuple[Profile, int]]()
    for profile, start in _known(entry, cut, layout) or ():
        if start not in _starts(cut, tuple(placed), profile):
            return False
        placed.append((profile, start))
    return len(placed) == len(layout)


def lie_together(entry: Entry | None, *layouts: Iterable[Piece]) -> bool:
    """Whether all of these pieces can be on one card together; not on one that no catalogue knows."""
    return entry is not None and is_legal(entry, tuple(piece for layout in layouts for piece in layout))


def consumed(entry: Entry, layout: Layout) -> Share:
    """What the layout takes. Raises KeyError for a profile that the chip has not."""
    profiles = []
    for piece in layout:
        if (found := entry.find_profile(piece.profile)) is None:
            raise KeyError(f"{entry.slug} has no profile {piece.profile}")
        profiles.append(found[1])
    return Share(milli=sum(p.milli for p in profiles), memory_mib=sum(p.memory_mib for p in profiles))


_Placed = tuple[tuple[Profile, int], ...]


def _card(entry: Entry, layout: Layout, profile: str) -> tuple[Cut, _Placed, Profile] | None:
    """The cut that has the profile, and the layout in it; None when the two cannot be on one card or are unknown."""
    if (found := entry.find_profile(profile)) is None or not is_legal(entry, layout):
        return None
    cut, wanted = found
    pieces = _known(entry, cut, layout)
    return None if pieces is None else (cut, pieces, wanted)


def _known(entry: Entry, cut: Cut, layout: Layout) -> _Placed | None:
    """The layout with its profiles, None when a piece is unknown or of another cut."""
    pieces = []
    for piece in layout:
        if (found := entry.find_profile(piece.profile)) is None or found[0].name != cut.name:
            return None
        pieces.append((found[1], piece.start))
    return tuple(pieces)


def _starts(cut: Cut, pieces: _Placed, wanted: Profile) -> tuple[int, ...]:
    """Every start where ``wanted`` may lie beside ``pieces``."""
    if sum(profile == wanted for profile, _ in pieces) >= wanted.max_per_device:
        return ()
    if wanted.once and any(profile.once == wanted.once for profile, _ in pieces):
        return ()
    if cut.rule == "uniform":
        if any(profile.max_per_device != wanted.max_per_device for profile, _ in pieces):
            return ()
        return _numbers(pieces, wanted.max_per_device)
    if sum(profile.compute for profile, _ in pieces) + wanted.compute > cut.compute:
        return ()
    if cut.cpu and sum(profile.cpu for profile, _ in pieces) + wanted.cpu > cut.cpu:
        return ()
    if cut.rule == "summed":
        return _numbers(pieces, cut.compute)
    taken = {slot for profile, start in pieces for slot in range(start, start + profile.size)}
    return tuple(start for start in wanted.starts if taken.isdisjoint(range(start, start + wanted.size)))


def _numbers(pieces: _Placed, count: int) -> tuple[int, ...]:
    taken = {start for _, start in pieces}
    return tuple(number for number in range(count) if number not in taken)


def _still_usable(cut: Cut, pieces: _Placed) -> int:
    """How much choice a layout leaves: the places left for each profile, weighted by their size."""
    return sum(profile.size * len(_starts(cut, pieces, profile)) for profile in cut.profiles)

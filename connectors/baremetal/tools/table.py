"""Read the tables that tools draw for people: cells between bars, names in a header that must be the known one."""

import re
from collections.abc import Sequence

from connectors.baremetal.tools.card import Process, not_understood

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PCI_ADDRESS = re.compile(r"(?:[0-9a-f]{4})?([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])")


def plain(text: str) -> str:
    """Return the text without colours, which some tools print without a terminal too."""
    return _ESCAPES.sub("", text)


def rows(text: str) -> list[list[str]]:
    """Return the cells of each line that stands between bars, blanks folded."""
    lines = (line.strip() for line in plain(text).splitlines())
    return [
        [" ".join(cell.split()) for cell in line[1:-1].split("|")]
        for line in lines
        if line.startswith("|") and line.endswith("|") and set(line) - set("|-=+")
    ]


def after(found: list[list[str]], header: Sequence[Sequence[str]], tool: str) -> list[list[str]]:
    """Return the rows that follow a header of exactly these rows. Raises Permanent when it is not there."""
    wanted = [list(row) for row in header]
    for start in range(len(found)):
        if found[start : start + len(wanted)] == wanted:
            return found[start + len(wanted) :]
    raise not_understood(tool, f"the header {' | '.join(wanted[0])} is not in its table")


def pairs(body: Sequence[list[str]], tool: str) -> list[tuple[list[str], list[str]]]:
    """Return the rows two by two, as cards are drawn, of three cells each. Raises Permanent for any other shape."""
    if len(body) % 2:
        raise not_understood(tool, "a card has only one of its two rows")
    for row in body:
        if len(row) != 3:
            raise not_understood(tool, f"the row {' | '.join(row)[:80]} has other columns than its header")
    return list(zip(body[::2], body[1::2], strict=True))


def apart(body: list[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of the cards, and those of the programs below them, which have one cell."""
    end = next((place for place, row in enumerate(body) if len(row) == 1), len(body))
    return body[:end], body[end:]


def programs(
    body: list[list[str]], header: Sequence[str], pattern: re.Pattern[str], nothing: str, tool: str
) -> dict[str, list[Process]]:
    """Return the programs by card. ``pattern`` finds card, pid, name and MiB, ``nothing`` says that there are none.

    Raises Permanent when the header is another one, or a row is not of this shape.
    """
    if [row[0] for row in body[: len(header)]] != list(header):
        raise not_understood(tool, "the header of its processes is not the known one")
    found: dict[str, list[Process]] = {}
    for row in body[len(header) :]:
        if row != [nothing]:
            card, pid, name, memory_mib = matched(pattern, " | ".join(row), tool)
            found.setdefault(card, []).append(Process(pid=int(pid), name=name, memory_mib=int(memory_mib)))
    return found


def matched(pattern: re.Pattern[str], text: str, tool: str) -> tuple[str, ...]:
    """Return the groups of a whole match. Raises Permanent when the text is not of this shape."""
    if (match := pattern.fullmatch(text)) is None:
        raise not_understood(tool, f"{text[:80]!r} is not as expected")
    return match.groups()


def pci_address(text: str, tool: str) -> str:
    """Return ``dddd:bb:dd.f`` in lower case; some tools write the domain with eight digits."""
    (address,) = matched(_PCI_ADDRESS, text.lower(), tool)
    return address


def count(text: str, unit: str, tool: str, what: str) -> int:
    """Return the whole number before a unit. Raises Permanent for N/A, negative numbers and anything else."""
    number, _, found = text.strip().partition(" ")
    if not number.isdecimal() or found.strip() != unit:
        raise not_understood(tool, f"{what} is {text[:80]!r}, a number of {unit or 'units'} from 0 on is needed")
    return int(number)

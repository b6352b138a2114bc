"""Look at one host in one log-in: what it is, what its vendors' tools tell, and what the helper there says."""

import re

from msgspec import Struct
from msgspec.structs import replace

from connectors import failures
from connectors.baremetal import desired, document, look
from connectors.baremetal.document import Document
from connectors.baremetal.look import Look
from connectors.baremetal.ssh import ENDED_BY_TIME, NOT_EXECUTABLE, Answer, Session, bounded
from connectors.baremetal.tools.card import Card
from connectors.baremetal.tools.catalog import chosen
from connectors.baremetal.tools.tool import Tool

_LOST = re.compile(r"device handle for GPU ?(\S+?): GPU is lost", re.IGNORECASE)
_NO_DEVICES = "No devices were found"


class Sight(Struct, frozen=True, kw_only=True):
    """What a host told.

    ``trouble`` is that of its driver or tool, ``lost`` the card that the driver names as lost, ``silence`` why its
    helper says nothing of the leases, ``forbidden`` are programs that the account may not run.
    """

    look: Look
    cards: tuple[Card, ...] = ()
    trouble: str = ""
    lost: str = ""
    silence: str = ""
    forbidden: tuple[str, ...] = ()
    document: Document | None = None
    byte_count: int = 0


async def look_at(session: Session) -> Sight:
    """Look at one host in one log-in. Raises a ConnectorError for answers that are torn or not understood."""
    answer = await session.run(look.LOOK)
    found = look.read(answer, session.host.name)
    told = Sight(look=found, byte_count=answer.byte_count)
    for tool in chosen(found.programs):
        told = await _with_tool(session, tool, told)
    if found.has_helper:
        told = await _with_helper(session, told)
    return told


async def _with_helper(session: Session, told: Sight) -> Sight:
    """Without the helper's answer nobody knows which cards are leased, so none of the host's is free."""
    answer = await session.run(desired.OBSERVE)
    told = replace(told, byte_count=told.byte_count + answer.byte_count)
    read = document.read(answer.output) if answer.code == 0 else None
    if read is not None:
        return replace(told, document=read)
    if answer.code == 0:
        return replace(told, silence="the helper is of another version: prepare the host again")
    forbidden = (*told.forbidden, desired.OBSERVE)
    return replace(told, silence=f"the helper does not answer (exit code {answer.code})", forbidden=forbidden)


async def _with_tool(session: Session, tool: Tool, told: Sight) -> Sight:
    name = session.host.name
    first = await session.run(bounded(tool.command))
    read_bytes = told.byte_count + first.byte_count
    if _NO_DEVICES in first.output:
        return replace(told, byte_count=read_bytes)
    if first.code != 0:
        return replace(_failed(told, tool, first), byte_count=read_bytes)
    if not first.output.strip():
        raise failures.truncated(name, f"{tool.name} printed nothing")
    second = Answer(0, "")
    if tool.second and tool.wants_second(first.output):
        second = await session.run(bounded(tool.second))
    cards = tool.cards(first.output, second.output if second.code == 0 else "")
    return replace(told, cards=told.cards + cards, byte_count=read_bytes + second.byte_count)


def _failed(told: Sight, tool: Tool, answer: Answer) -> Sight:
    """A tool that fails is a thing to tell, not an error: the cards are there and cannot be used."""
    words = " ".join((answer.output + answer.complaint).split())
    if answer.code == NOT_EXECUTABLE or "ermission denied" in words:
        trouble = f"{tool.name} may not be run by this user"
        return replace(told, trouble=trouble, forbidden=(*told.forbidden, tool.name))
    if answer.code in ENDED_BY_TIME:
        return replace(told, trouble=f"{tool.name} hangs: the driver does not answer")
    if lost := _LOST.search(words):
        return replace(told, trouble=f"GPU {lost[1]} is lost: reboot the host", lost=lost[1])
    if "driver" in words.lower():
        return replace(told, trouble=f"driver down: {words[:200]}")
    return replace(told, trouble=f"{tool.name} failed with {answer.code}: {words[:200]}")

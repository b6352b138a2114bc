"""What a parser module declares: which commands its tool answers, and how their outputs become cards."""

from collections.abc import Callable

from msgspec import Struct

from connectors.baremetal.tools.card import Card


class Tool(Struct, frozen=True):
    """``cards`` reads the output of ``command`` and, where ``wants_second`` says so of it, that of ``second``.

    It raises Permanent ``invalid_answer`` for a layout that no recording has.
    """

    command: str
    cards: Callable[[str, str], tuple[Card, ...]]
    second: str = ""
    wants_second: Callable[[str], bool] = lambda _output: True

    @property
    def name(self) -> str:
        """The program."""
        return self.command.split(" ", 1)[0]

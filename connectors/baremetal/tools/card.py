"""A card as a vendor's tool tells it, and how an output that is not understood is refused."""

from msgspec import Struct

from connectors.contract import Health, Permanent


class Process(Struct, frozen=True, omit_defaults=True):
    """A program that holds a card. ``pid`` is the host's."""

    pid: int
    name: str
    memory_mib: int = 0


class Card(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An accelerator, or a static partition of one.

    ``part`` names a partition that has no uuid, on its card. ``nodes`` are the device nodes of this card alone,
    ``shared`` those that every user of such cards needs; ``visible`` is the name and value of the variable that makes
    programs see this card: convenience, no fence.
    """

    vendor: str
    model: str = ""
    index: int | None = None
    uuid: str | None = None
    serial: str | None = None
    pci_id: str | None = None
    pci_address: str | None = None
    memory_mib: int = 0
    part: str | None = None
    profile: str | None = None
    numa_node: int | None = None
    health: Health = "ok"
    health_reason: str = ""
    processes: tuple[Process, ...] = ()
    nodes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    visible: tuple[str, str] | None = None

    @property
    def ref(self) -> str:
        """What names the card on its host: the best of what the tool tells."""
        return self.uuid or self.part or self.serial or self.pci_address or f"{self.vendor}-{self.index}"


def not_understood(tool: str, why: str) -> Permanent:
    """The output has a layout, or a value, that no recording has; guessing would count what is not there."""
    return Permanent(
        f"The output of {tool} is not understood: {why}. Send it, without what is secret in it, to the makers of "
        "ocenter; the host's cards stay as they were last seen.",
        code="invalid_answer",
    )

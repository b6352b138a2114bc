"""Which resource names stand for several models in one cluster: a quota on such a name cannot tell them apart. Pure."""

from collections.abc import Iterable, Iterator

from connectors.contract import NodeFact


class Ambiguity:
    """What the nodes of one observation tell, page by page."""

    def __init__(self) -> None:
        self._models: dict[str, set[str]] = {}

    def add(self, nodes: Iterable[NodeFact]) -> None:
        """Take note of each model that a resource stands for; devices that are not counted have names of their own."""
        for node in nodes:
            for device in node.devices:
                resource, mark, _ = device.ref.partition("#")
                if mark and device.model:
                    self._models.setdefault(resource, set()).add(device.model)
            for counter in node.counters:
                if counter.model:
                    self._models.setdefault(counter.ref, set()).add(counter.model)

    def warnings(self) -> Iterator[str]:
        """Say it once for each such name."""
        for resource, models in sorted(self._models.items()):
            if len(models) > 1:
                yield (
                    f"{resource} stands for {', '.join(sorted(models))}: a quota cannot tell these apart, so one model "
                    "of them can be given out by Kueue only."
                )

"""Warnings of one look: equal ones are told once, with how many and some examples."""

EXAMPLES = 3
MAX_NAME = 80


class Findings:
    """Collects what is strange, by what it is."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def __contains__(self, what: str) -> bool:
        """Whether something of this sort was noted."""
        return what in self._names

    def add(self, what: str, name: str | None) -> None:
        """Note one more thing of this sort. ``what`` is told once, its names follow."""
        self._names.setdefault(what, []).append((name or "(no name)")[:MAX_NAME])

    def told(self) -> list[str]:
        """Return one sentence per sort."""
        return [f"{what} ({len(names)}): {', '.join(sorted(names)[:EXAMPLES])}." for what, names in self._names.items()]

"""Warnings of one look: equal ones are told once, with how many and some examples."""

EXAMPLES = 3
MAX_NAME = 80


class Findings:
    """Collects what is strange, by what it is."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, what: str, name: str | None) -> None:
        """Note one more thing of this sort; ``what`` reads on after its number."""
        self._names.setdefault(what, []).append((name or "(no name)")[:MAX_NAME])

    def told(self) -> list[str]:
        """Return one sentence per sort."""
        return [f"{len(names)} {what}: {', '.join(sorted(names)[:EXAMPLES])}." for what, names in self._names.items()]

"""The files of a host, under one root so that they can be anywhere."""

from __future__ import annotations

import os
from pathlib import Path


class Tree:
    """A file system. Paths begin at ``root``."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)

    def path(self, name: str) -> Path:
        """Return where a path of the host is."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """Return a file's content, None when there is none."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Replace a file as a whole: after a crash there is the old one or the new one."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        self._sync(path.parent)

    def unlink(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = self.path(name)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            self._sync(path.parent)

    def names(self, folder: str) -> list[str]:
        """Return what is in a folder, sorted; nothing when there is none."""
        try:
            return sorted(entry.name for entry in self.path(folder).iterdir())
        except FileNotFoundError:
            return []

    def _sync(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

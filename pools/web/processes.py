"""The processes of this installation as `manage.py up` reports them in a file."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings

STATUS: Final = Path("run", "status.json")
SHOWN_AFTER_RESTART_SECONDS: Final = 600


def children() -> list[dict[str, Any]]:
    """Return [{name, pid, state, restarts, last_exit, since: datetime | None}]; none where `up` does not run."""
    try:
        kept = json.loads((Path(settings.OCENTER_HOME) / STATUS).read_text(encoding="utf-8"))["children"]
        return [{**child, "since": _instant(child.get("since"))} for child in kept]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def unwell() -> list[dict[str, Any]]:
    """Return the children that do not run, or that were restarted in the last minutes."""
    now = time.time()
    return [
        child
        for child in children()
        if child.get("state") != "running"
        or (child.get("restarts") and child["since"] and now - child["since"].timestamp() < SHOWN_AFTER_RESTART_SECONDS)
    ]


def _instant(value: Any) -> datetime | None:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value) if isinstance(value, str) else None

"""What was done on platforms for an allocation, and what comes next, as plain dicts for the templates."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pools.selectors.operations import AllocationOperation, OperationRow, PlanStep, PlatformCall


def operation(row: OperationRow) -> dict[str, Any]:
    """Return an operation. ``trouble`` is {code, message, words} or None, ``calls`` are [{name, body}] or None."""
    shown = msgspec.structs.asdict(row)
    return shown | {"trouble": msgspec.structs.asdict(row.trouble) if row.trouble else None, "calls": _calls(row.calls)}


def of_allocation(row: AllocationOperation) -> dict[str, Any]:
    """Return an operation as above, with ``allocation``, ``allocation_id``, ``project`` and ``is_pool_removed``."""
    return operation(row.operation) | {
        "allocation": row.allocation or str(row.allocation_id),
        "allocation_id": row.allocation_id,
        "project": row.project,
        "is_pool_removed": row.is_pool_removed,
    }


def step(row: PlanStep) -> dict[str, Any]:
    """Return a step of the plan. ``calls`` are [{name, body}] or None."""
    return msgspec.structs.asdict(row) | {"calls": _calls(row.calls)}


def _calls(calls: Sequence[PlatformCall] | None) -> list[dict[str, Any]] | None:
    if calls is None:
        return None
    return [
        {
            "name": f"{call.verb} {call.object}",
            "body": msgspec.json.format(msgspec.json.encode(call.body)).decode() if call.body else "",
        }
        for call in calls
    ]

"""Reads traces of nodes and requests in the columns of Alibaba's cluster-trace-gpu-v2023 ("openb")."""

from collections.abc import Iterable, Mapping

from pools.domain.shapes import NodeState, Shape

WHOLE_MILLI = 1000

Row = Mapping[str, str | None]


def nodes(rows: Iterable[Row]) -> list[NodeState]:
    """Return empty nodes of rows with cpu_milli, memory_mib, gpu (a count) and model. Raises ValueError: the line."""
    return [
        NodeState(
            cpu_milli=_number(row, "cpu_milli", number),
            memory_mib=_number(row, "memory_mib", number),
            model=row.get("model") or "",
            free_milli=(WHOLE_MILLI,) * _number(row, "gpu", number),
        )
        for number, row in enumerate(rows, start=2)
    ]


def requests(rows: Iterable[Row]) -> list[Shape]:
    """Return the requests of rows in the order of their names. Raises ValueError: the line.

    ``gpu_milli`` is per device and counts when ``num_gpu`` is 1; ``gpu_spec`` has the allowed models, ``|`` between.
    """
    numbered = sorted(enumerate(rows, start=2), key=lambda pair: pair[1].get("name") or "")
    return [_request(row, number) for number, row in numbered]


def _request(row: Row, number: int) -> Shape:
    devices = _number(row, "num_gpu", number)
    milli = _number(row, "gpu_milli", number) if devices == 1 else WHOLE_MILLI
    if devices and not 0 < milli <= WHOLE_MILLI:
        raise _invalid(number, "gpu_milli", "1 to 1000 of one device is needed")
    return Shape(
        cpu_milli=_number(row, "cpu_milli", number),
        memory_mib=_number(row, "memory_mib", number),
        devices=devices,
        milli=milli if devices else 0,
        models=frozenset(model for model in (row.get("gpu_spec") or "").split("|") if model),
    )


def _number(row: Row, column: str, number: int) -> int:
    text = row.get(column)
    if text is None:
        raise _invalid(number, column, "the column is missing")
    if not text.isdecimal() or len(text) > 15:
        raise _invalid(number, column, "a whole number from 0 is needed")
    return int(text)


def _invalid(number: int, column: str, why: str) -> ValueError:
    return ValueError(f"line {number}, {column}: {why}")

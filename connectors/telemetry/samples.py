"""Samples of metrics, from an exporter's own text or from what a Prometheus answers."""

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

_BLANKS = ((0x7FFFFFF0, 0x7FFFFFF4), (2.0**47, 2.0**47 + 4), (0x7FFFFFFFFFFFFFF0, math.inf))
"""DCGM's blank values of 32 bits, of floating point and of 64 bits, with the reasons counted up from each.

Source: dcgm_structs.h, DCGM_INT32_BLANK, DCGM_FP64_BLANK, DCGM_INT64_BLANK.
"""


class Sample(Struct, frozen=True):
    """One measured value. ``at_seconds`` is since 1970, None where the source tells no time."""

    name: str
    labels: Mapping[str, str]
    value: float
    at_seconds: float | None = None


class Vector(Struct, frozen=True):
    """An answer of Prometheus' ``/api/v1/query``, as far as it is looked at."""

    class Data(Struct, frozen=True):
        class Series(Struct, frozen=True):
            metric: dict[str, str]
            value: tuple[float, str]

        result: list[Series]

    status: Literal["success"]
    data: Data


def from_text(text: str) -> Iterator[Sample]:
    """Yield what is measured in a text of the Prometheus exposition format. Raises ValueError on other text."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if _is_measured(sample.value):
                at = None if sample.timestamp is None else float(sample.timestamp)
                yield Sample(sample.name, sample.labels, sample.value, at)


def from_vector(vector: Vector) -> Iterator[Sample]:
    """Yield what is measured in an instant vector. Raises ValueError on a value that is no number."""
    for series in vector.data.result:
        at, text = series.value
        if _is_measured(value := float(text)):
            yield Sample(series.metric.get("__name__", ""), series.metric, value, at)


def _is_measured(value: float) -> bool:
    return math.isfinite(value) and not any(first <= value <= last for first, last in _BLANKS)

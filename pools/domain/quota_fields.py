"""What people may say a project's quotas are."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from pools.domain.errors import FieldError
from pools.domain.quotas import MILLI_MOST

ROWS_MOST: Final = 1000
POOLS_MOST: Final = 100
WEIGHT_MOST: Final = 1000
_MILLI: Final = ("nominal_milli", "borrow_limit_milli", "lend_limit_milli", "hard_limit_milli")


class QuotaWanted(msgspec.Struct, frozen=True, kw_only=True):
    """A quota of a project. ``model`` is a slug or an id; null is everything, in milli compute units.

    ``pools`` are names or ids, null is all. Limits of null: borrow without limit, lend all, no hard limit.
    """

    model: str | None = None
    profile: str | None = None
    pools: list[str] | None = None
    nominal_milli: int
    borrow_limit_milli: int | None = None
    lend_limit_milli: int | None = None
    hard_limit_milli: int | None = None
    weight: int = 1


NUMBERS: Final = (*_MILLI, "weight")


def mistakes(rows: Sequence[QuotaWanted]) -> list[FieldError]:
    """Return what is wrong whatever models and pools there are. A field is named as ``[2].nominal_milli``."""
    if len(rows) > ROWS_MOST:
        return [FieldError("", "too_many", f"A project has at most {ROWS_MOST} quotas.")]
    return [wrong for number, row in enumerate(rows) for wrong in _mistakes(f"[{number}]", row)]


def _mistakes(place: str, row: QuotaWanted) -> Iterator[FieldError]:
    for name in _MILLI:
        value = getattr(row, name)
        if value is not None and not 0 <= value <= MILLI_MOST:
            yield FieldError(f"{place}.{name}", "out_of_range", f"Between 0 and {MILLI_MOST} are allowed.")
    if not 1 <= row.weight <= WEIGHT_MOST:
        yield FieldError(f"{place}.weight", "out_of_range", f"Between 1 and {WEIGHT_MOST} are allowed.")
    if row.profile is not None and row.model is None:
        detail = "A profile is one of a model; name the model as well."
        yield FieldError(f"{place}.profile", "no_model", detail)
    if row.pools is not None and not row.pools:
        detail = "Name at least one pool, or leave it null for all pools."
        yield FieldError(f"{place}.pools", "required", detail)
    if row.pools is not None and len(row.pools) > POOLS_MOST:
        yield FieldError(f"{place}.pools", "too_many", f"A quota names at most {POOLS_MOST} pools.")

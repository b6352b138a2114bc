"""Quantities as the Kubernetes API writes them: ``8``, ``500m``, ``64Gi``, ``1e3``.

Source: k8s.io/apimachinery/pkg/api/resource, Quantity.
"""

from decimal import Decimal
from functools import lru_cache
from math import ceil

MIB = 2**20
MOST = 2**31 - 1
"""More than any count that means something; larger ones are cut to it."""
_LARGEST = Decimal(2) ** 63  # of the API's own numbers
_SCALES = {
    **{name: Decimal(1024) ** power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{name: Decimal(1000) ** power for power, name in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{name: Decimal(1000) ** -power for power, name in enumerate(("m", "u", "n"), start=1)},
}


@lru_cache(maxsize=8192)
def value(text: str) -> Decimal:
    """Return what a quantity is in whole units. Nonsense and negative amounts are 0: nothing can be taken from them."""
    number, scale = text.strip(), Decimal(1)
    for length in (2, 1):
        if (found := _SCALES.get(number[-length:])) is not None:
            number, scale = number[:-length], found
            break
    try:
        amount = Decimal(number) * scale
    except ArithmeticError:
        return Decimal(0)
    return amount if amount.is_finite() and 0 < amount < _LARGEST else Decimal(0)


@lru_cache(maxsize=8192)
def units(text: str) -> int:
    """Whole units, rounded up as the scheduler does."""
    return ceil(value(text))


@lru_cache(maxsize=8192)
def milli(text: str) -> int:
    """Thousandths, rounded up as the scheduler does."""
    return ceil(value(text) * 1000)


def count(text: str) -> int:
    """Units of a resource that counts things; never more than ``MOST``."""
    return min(units(text), MOST)


def mib(text: str) -> int:
    """Whole MiB of a quantity of bytes, rounded down; never more than ``MOST``."""
    return min(int(value(text)) // MIB, MOST)

"""Columns that many tables share, and the checks that go with them."""

from collections.abc import Sequence

from django.db import models


def one_of(field: str, values: Sequence[str], name: str) -> models.CheckConstraint:
    """A CHECK that the field holds one of the values."""
    return models.CheckConstraint(condition=models.Q(**{f"{field}__in": list(values)}), name=name)


def not_negative(name: str, *fields: str) -> models.CheckConstraint:
    """A CHECK that none of the fields is below zero."""
    condition = models.Q()
    for field in fields:
        condition &= models.Q(**{f"{field}__gte": 0})
    return models.CheckConstraint(condition=condition, name=name)

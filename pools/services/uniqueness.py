"""Say in words which other pool a unique constraint speaks of."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction

from pools.domain.errors import PoolIdentityTaken, PoolNameTaken
from pools.models import Pool


@contextmanager
def of(pool: Pool) -> Iterator[None]:
    """Write a pool within. Raises PoolNameTaken, PoolIdentityTaken in place of the database's error."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        if constraint == "pool_name_unique":
            raise PoolNameTaken(name=pool.name) from None
        if constraint == "pool_identity_unique":
            others = Pool.objects.filter(kind=pool.kind, identity=pool.identity, removed_at=None)
            other = others.exclude(pk=pool.pk).exclude(state="registering").values_list("name", flat=True).first()
            raise PoolIdentityTaken(other=other or "") from None
        raise

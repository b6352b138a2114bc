"""A request on its way to a claim: who asks for what, and where it shall go."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from pools.domain import quotas
from pools.domain.actors import Actor
from pools.domain.decisions import Decision
from pools.domain.request import Wanted
from pools.services.idempotency import Once


class Asked(Struct, frozen=True, kw_only=True):
    """A request with its place in the tree of projects and who asks.

    ``is_waiting``: it is there already and waits. ``is_booked``: it was promised what it asks for, which becomes its
    claim; ``until_at`` is the end that was promised. ``once``: the key with which it came, committed with what it gets.
    ``shown_as``: the path of its project, where somebody waits to see what it gets. ``like``: a request
    that is the same but for its project and name, of many that are alike the same one.
    """

    id: UUID
    wanted: Wanted
    project_id: UUID
    lineage: tuple[UUID, ...]
    actor: Actor
    is_waiting: bool = False
    is_booked: bool = False
    queued_at: datetime | None = None
    until_at: datetime | None = None
    once: Once | None = None
    shown_as: str = ""
    like: Wanted | None = None


class Planned(Struct, frozen=True):
    """A request and where it shall go."""

    asked: Asked
    decision: Decision
    ask: quotas.Ask

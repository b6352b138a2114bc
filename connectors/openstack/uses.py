"""Who uses a card: Placement counts; Cyborg's requests and the markers on consumers and profiles tell who. Pure."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from connectors.openstack import marks
from connectors.openstack.findings import Findings
from connectors.openstack.payloads import Provider, Request
from connectors.openstack.snapshot import Snapshot

_BESIDE = "Cards bound in Cyborg and not counted in Placement; they count as used"


class Use(Struct, frozen=True, kw_only=True):
    """Units of one provider that one consumer has."""

    holder: str
    units: int
    marker: str | None = None


def of_cyborg(
    seen: Snapshot, provider: Provider, requests: Sequence[Request], used: int, total: int, findings: Findings
) -> tuple[Use, ...]:
    """Return who uses a card of Cyborg; ``requests`` are those bound to it, ``used`` is Placement's count.

    Both count: what Placement gives out without a request (a hold, a leak), and what is bound behind Placement's back.
    """
    bound = Counter(request.instance_uuid or request.uuid for request in requests)
    if provider.uuid not in seen.holders:  # there are as many requests as units in use, or more
        if bound.total() > used:
            findings.add(_BESIDE, provider.name)
        return _uses(seen, bound, requests)
    placed = Counter(seen.holders[provider.uuid])
    for consumer in placed.keys() - bound.keys():
        if seen.sees_all_requests and not _is_ours(seen, consumer):
            findings.add("Cards in use in Placement without a request in Cyborg", provider.name)
    if beside := bound - placed:
        findings.add(_BESIDE, provider.name)
    room = max(0, total - placed.total())
    return _uses(seen, placed + Counter(list(beside.elements())[:room]), requests)


def of_nova(seen: Snapshot, provider: Provider) -> tuple[Use, ...]:
    """Return who uses a card that Nova gives out."""
    return _uses(seen, Counter(seen.holders.get(provider.uuid, {})), ())


def _uses(seen: Snapshot, units: Counter[str], requests: Sequence[Request]) -> tuple[Use, ...]:
    by_consumer = {request.instance_uuid or request.uuid: request for request in requests}
    return tuple(
        Use(
            holder=_holder(seen, consumer, by_consumer.get(consumer)),
            units=count,
            marker=_marker(seen, consumer, by_consumer.get(consumer)),
        )
        for consumer, count in sorted(units.items())
    )


def _holder(seen: Snapshot, consumer: str, request: Request | None) -> str:
    """Return ``project/consumer``, or the consumer alone where nobody tells its project."""
    known = seen.consumers.get(consumer)
    project = (request and request.project_id) or (known and known.project_id)
    return f"{project}/{consumer}" if project else consumer


def _marker(seen: Snapshot, consumer: str, request: Request | None) -> str | None:
    """Return the marker that the consumer or the request's device profile carries, where this installation made it."""
    known = seen.consumers.get(consumer)
    profile = (request.device_profile_name if request is not None else None) or ""
    texts = (known.user_id if known is not None else None, seen.profiles.get(profile))
    found = next((mark for text in texts if (mark := marks.read(text)) is not None), None)
    return found.marker if found is not None and found.installation == seen.installation else None


def _is_ours(seen: Snapshot, consumer: str) -> bool:
    return consumer in seen.consumers and seen.consumers[consumer].consumer_type == marks.OURS

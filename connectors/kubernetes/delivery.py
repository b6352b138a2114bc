"""Makes a namespace carry orders, and takes them off again. One code decides for plan and apply."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from connectors.contract import (
    Absent,
    Call,
    Done,
    Found,
    Order,
    Outcome,
    Pending,
    Permanent,
    Plan,
    Target,
    Transient,
)
from connectors.kubernetes import intent, marks, queues
from connectors.kubernetes.client import Client
from connectors.kubernetes.intent import INSTALLATION, MANAGED_BY, MANAGER, Marks, Wanted
from connectors.kubernetes.writes import ENDING_SECONDS, Live, LostRace, Step, send

_ATTEMPTS = 5


class Look(Struct):
    """What is left to do. ``is_ending``: the namespace is being deleted, and nothing can be done until it is gone."""

    steps: list[Step] = []
    is_ending: bool = False


class Delivery:
    """Namespaces of one installation in one cluster. ``is_forced`` takes back fields that others changed."""

    def __init__(self, client: Client, installation: str, is_forced: bool) -> None:
        self._client = client
        self._installation = installation
        self._is_forced = is_forced

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """Return the calls that ``apply`` would make now."""
        return Plan(calls=tuple(step.call for step in self._look(target, orders).steps))

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """Send what is left to do until a look finds nothing left, as the contract's ``apply``."""
        changes: list[Call] = []
        is_sent = False
        for _ in range(_ATTEMPTS):
            look = self._look(target, orders)
            if look.is_ending:
                return Pending(after_seconds=ENDING_SECONDS, changes=tuple(changes))
            if not look.steps:
                return Done(found=self.probe(target), changes=tuple(changes))
            if is_sent:
                raise _unconfirmed(target)
            is_sent = self._sent(look.steps, changes)
        raise Transient(
            f"Others change {target.ref} as fast as ocenter does. It is tried again later; see who works on it.",
            code="conflict",
        )

    def _sent(self, steps: Sequence[Step], changes: list[Call]) -> bool:
        """Make the calls in order; False when somebody was faster. What was made is added to ``changes``."""
        made: dict[str, Live] = {}
        for step in steps:
            try:
                seen = step.seen or made.get(step.path)
                told = send(self._client.http, msgspec.structs.replace(step, seen=seen), is_forced=self._is_forced)
            except LostRace:
                return False
            changes.append(step.call)
            if step.method == "POST":
                made[f"{step.path}/{step.body['metadata']['name']}"] = told
        return True

    # --- what is left to do -------------------------------------------------------------------------------------------

    def _look(self, target: Target, orders: Sequence[Order]) -> Look:
        namespace = self._client.live(intent.namespace_path(target))
        if namespace is not None:
            self._guard(namespace, target)
            if namespace["metadata"].get("deletionTimestamp"):
                return Look(is_ending=True)
        if orders:
            return Look(self._carrying(target, orders, namespace))
        return self._giving_back(target, namespace)

    def _giving_back(self, target: Target, namespace: Live | None) -> Look:
        """Delete the cluster-wide objects, then the namespace, which ends all in it at once.

        So its quota does not go before its pods. A queue stays until Kueue has let go of its jobs.
        """
        left = self._queues(target) if target.mode == queues.MODE else {}
        steps = _deleting(left)
        if namespace is None:
            return Look(steps, is_ending=bool(left) and not steps)
        if target.is_tenants:
            return Look(steps + self._taking_off(target, namespace))
        return Look([*steps, Step(method="DELETE", path=intent.namespace_path(target), seen=namespace)])

    def _queues(self, target: Target) -> dict[str, Live]:
        """The cluster-wide queue of a target and its flavors, the queue first, as they are now."""
        found: dict[str, Live] = {}
        if (queue := self._client.live(queues.queue_path(target))) is not None and self.is_ours(queue):
            found[queues.queue_path(target)] = queue
        for flavor in self._client.marked(queues.FLAVORS, INSTALLATION, self._installation):
            if queues.is_flavor_of(target, flavor["metadata"]["name"]):
                found[f"{queues.FLAVORS}/{flavor['metadata']['name']}"] = flavor
        for path, live in found.items():
            self._guard_inside(live, target, path)
        return found

    def _carrying(self, target: Target, orders: Sequence[Order], namespace: Live | None) -> list[Step]:
        if namespace is None and target.is_tenants:
            raise Permanent(
                f"There is no namespace {target.ref}. Create it, or let ocenter make one of its own.", code="not_found"
            )
        steps: list[Step] = []
        objects = self._objects(target, orders)
        for wanted in objects:
            is_first = wanted.path == intent.namespace_path(target)
            live = namespace if is_first else namespace and self._client.live(wanted.path)
            if live is None:
                steps += _making(wanted)
                continue
            if not is_first:
                self._guard_inside(live, target, wanted.path)
            if not marks.is_within(wanted.intent, live):
                steps.append(Step(method="PATCH", path=wanted.path, body=wanted.intent, seen=live))
        if target.mode == queues.MODE:
            kept = {queues.queue_path(target), *(wanted.path for wanted in objects)}
            surplus = {path: live for path, live in self._queues(target).items() if path not in kept}
            steps += _deleting(surplus)
        return steps

    def _objects(self, target: Target, orders: Sequence[Order]) -> list[Wanted]:
        told = Marks(target, orders, self._installation)
        wanted = intent.objects(target, orders, told)
        if target.mode != queues.MODE:
            return wanted
        for label, text in queues.selectors(orders):
            if not self._client.has_node(label, text):
                raise Permanent(
                    f"No node has the label {label}={text}, so a queue for it would admit nothing. Compare the order's "
                    "model with the labels of the nodes.",
                    code="invalid",
                )
        namespace, quota, account, binding = wanted
        return [namespace, quota, *queues.objects(target, orders, told), account, binding]

    def _taking_off(self, target: Target, namespace: Live) -> list[Step]:
        """Remove what we put into the tenant's namespace, last made first, and at last our marks on it."""
        steps = []
        entry = [queues.entry_path(target)] if target.mode == queues.MODE else []
        for path in (intent.binding_path(target), intent.account_path(target), *entry, intent.quota_path(target)):
            live = self._client.live(path)
            if live is not None and self.is_ours(live):
                self._guard_inside(live, target, path)
                steps.append(Step(method="DELETE", path=path, seen=live))
        if self._has_our_marks(namespace):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": target.ref}}
            steps.append(Step(method="PATCH", path=intent.namespace_path(target), body=body, seen=namespace))
        return steps

    # --- whose it is --------------------------------------------------------------------------------------------------

    def is_ours(self, live: Live) -> bool:
        """Whether this installation made an object."""
        return self._has_our_marks(live) and marks.labels(live).get(MANAGED_BY) == MANAGER

    def _has_our_marks(self, live: Live) -> bool:
        return marks.labels(live).get(INSTALLATION) == self._installation

    def _guard(self, namespace: Live, target: Target) -> None:
        is_free = INSTALLATION not in marks.labels(namespace) and target.is_tenants
        if not is_free and not (self._has_our_marks(namespace) if target.is_tenants else self.is_ours(namespace)):
            raise marks.not_ours(intent.namespace_path(target), namespace)
        marks.refuse_stale(namespace, target)

    def _guard_inside(self, live: Live, target: Target, path: str) -> None:
        if not self.is_ours(live):
            raise marks.not_ours(path, live)
        marks.refuse_stale(live, target)

    # --- what is there ------------------------------------------------------------------------------------------------

    def probe(self, target: Target) -> Found | Absent:
        """Return what the namespace carries: those orders count that quota, account and role are there for."""
        namespace = self._client.live(intent.namespace_path(target))
        if namespace is None:
            return Absent()
        is_free = INSTALLATION not in marks.labels(namespace)
        if target.is_tenants and is_free:
            return Absent()
        if not (self._has_our_marks(namespace) and (target.is_tenants or self.is_ours(namespace))):
            return Found(generation=0, is_ours=False)
        if namespace["metadata"].get("deletionTimestamp"):
            return _unfinished(namespace, "Terminating")
        return self._carried(target, namespace)

    def _carried(self, target: Target, namespace: Live) -> Found:
        quota, account, binding = (
            self._client.live(path(target)) for path in (intent.quota_path, intent.account_path, intent.binding_path)
        )
        parts, queue = [quota, account, binding], None
        if target.mode == queues.MODE:
            queue = self._client.live(queues.queue_path(target))
            parts += [queue, self._client.live(queues.entry_path(target))]
        is_whole = all(live is not None and self.is_ours(live) for live in parts)
        if quota is None or not is_whole:
            return _unfinished(namespace, "Incomplete")
        status = quota.get("status", {})
        detail = {"hard": quota.get("spec", {}).get("hard", {}), "used": status.get("used", {})}
        if queue is not None:
            detail["queue"] = queue.get("status", {}).get("flavorsUsage", [])
        delivered = marks.orders(quota).keys() & marks.orders(namespace).keys()
        return Found(
            generation=marks.generation(namespace),
            markers=tuple(sorted(delivered)),
            undelivered=tuple(sorted(marks.orders(namespace).keys() - delivered)),
            enforced=("quota", "scheduler") if queue is not None and marks.is_active(queue) else ("quota",),
            detail=detail,
        )


def _unfinished(namespace: Live, phase: str) -> Found:
    undelivered = tuple(sorted(marks.orders(namespace)))
    return Found(generation=marks.generation(namespace), undelivered=undelivered, detail={"phase": phase})


def _deleting(objects: Mapping[str, Live]) -> list[Step]:
    """Return the calls that delete what is not being deleted already."""
    return [
        Step(method="DELETE", path=path, seen=live)
        for path, live in objects.items()
        if not live["metadata"].get("deletionTimestamp")
    ]


def _making(wanted: Wanted) -> list[Step]:
    """Make it with what never changes, which only one can do, and then say the rest as of any other object."""
    if wanted.seed is None:
        return []
    return [
        Step(method="POST", path=wanted.collection, body=wanted.seed),
        Step(method="PATCH", path=wanted.path, body=wanted.intent),
    ]


def _unconfirmed(target: Target) -> Transient:
    return Transient(
        f"The API server said done, and {target.ref} is not as ordered. ocenter asks again what is there.",
        code="unconfirmed",
    )

"""Targets of the kind ``consumer``: a consumer in Placement, with accelerator requests bound to it in Cyborg.

The allocation in Placement is the atomic claim, and carries our marker; each write of it is guarded by the consumer's
generation. Cyborg's part follows it and is taken away before it, so that nothing is ever bound without a claim.
"""

import time
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from connectors.contract import (
    Absent,
    Call,
    ConnectorError,
    Delivery,
    Denied,
    Done,
    Found,
    NoCapacity,
    Order,
    Outcome,
    Permanent,
    Place,
    Plan,
    Target,
)
from connectors.openstack import claims, marks
from connectors.openstack.claims import Claim
from connectors.openstack.client import Cloud
from connectors.openstack.payloads import Consumer, Profile
from connectors.openstack.steps import Raced, Step, change, lost_race, refusal, take, unconfirmed
from connectors.openstack.there import CONSUMERS, CYBORG, STARTED, There, guard, read

BIND = ("2.3", "2.1")
TRIES = 4
BIND_SECONDS = 3.0
_ANSWERED = (400, 403, 404, 409, 500)  # a binding may be answered so, whether it was done or not


class Consumers:
    """Makes consumers carry one order each. ``project_id`` is whose use it is, in Placement and in Cyborg."""

    def __init__(self, cloud: Cloud, installation: str, project_id: str) -> None:
        self._cloud = cloud
        self._installation = installation
        self._project_id = project_id

    # --- the calls of the contract ------------------------------------------------------------------------------------

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        """As the contract says."""
        steps = self._steps(target, claims.only(orders), read(self._cloud, target), is_hold=False)
        return Plan(calls=tuple(step.call for step in steps))

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """As the contract says."""
        return self._carry(target, orders, is_hold=False)

    def hold(self, target: Target, orders: Sequence[Order]) -> Outcome:
        """As the contract says: the claim alone."""
        return self._carry(target, orders, is_hold=True)

    def _carry(self, target: Target, orders: Sequence[Order], *, is_hold: bool) -> Outcome:
        """Take the steps. A race in Placement is run again, a few times."""
        order = claims.only(orders)
        changes: list[Call] = []
        first = there = read(self._cloud, target)
        for _ in range(TRIES):
            try:
                take(self._steps(target, order, there, is_hold=is_hold), changes)
            except Raced:
                there = read(self._cloud, target)
                continue
            except _NotBound as refused:
                self._undo(target, is_kept=bool(first.units))
                raise refused.error from None
            self._confirm(target, order, changes, is_hold=is_hold)
            return Done(found=self.probe(target), changes=tuple(changes))
        raise lost_race(f"the allocation {marks.consumer(target)} in Placement")

    def probe(self, target: Target) -> Found | Absent:
        """As the contract says."""
        there = read(self._cloud, target)
        if not there.is_there:
            return Absent()
        mark = there.mark or there.of_profile
        is_ours = there.is_of(self._installation)
        slots = sorted(provider for provider, count in there.units.items() for _ in range(count))
        is_delivered = is_ours and mark is not None and bool(slots) and there.is_bound_to(slots)
        return Found(
            generation=there.mark.generation if there.mark else 0,
            markers=(mark.marker,) if is_delivered and mark else (),
            undelivered=(mark.marker,) if is_ours and mark and not is_delivered else (),
            is_ours=is_ours,
            places={mark.marker: self._places(there)} if is_delivered and mark else {},
            enforced=("scheduler",) if there.units else (),
            detail={
                "consumer": there.uuid,
                "providers": there.units,
                "requests": {each.uuid: each.state or "" for each in there.requests},
            },
        )

    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        """Return what is bound where. There is nothing secret in it."""
        found = self.probe(target)
        if not isinstance(found, Found) or found.markers != tuple(sorted(order.marker for order in orders)):
            raise Permanent(
                f"The consumer {marks.consumer(target)} has no such delivery. Apply the orders first.", code="not_found"
            )
        there = read(self._cloud, target)
        return Delivery(
            kind="environment",
            facts={
                "consumer": there.uuid,
                "host": next((each.hostname for each in there.bound if each.hostname), ""),
                "requests": " ".join(sorted(each.uuid for each in there.bound)),
                "devices": " ".join(sorted(each.address for each in there.bound)),
            },
        )

    def _places(self, there: There) -> tuple[Place, ...]:
        roots = claims.roots(self._cloud, next(iter(there.units)))
        refs = dict(claims.devices(self._cloud, set(there.units)))
        return tuple(sorted((Place(roots.get(each, ""), refs.get(each, each)) for each in there.units), key=str))

    # --- what is to be done -------------------------------------------------------------------------------------------

    def _steps(self, target: Target, order: Order | None, there: There, *, is_hold: bool) -> list[Step]:
        guard(there, f"consumer {there.uuid}", self._installation, target)
        if order is None:
            return self._removal(target, there)
        claim = claims.read(self._cloud, self._installation, target, order, there.units)
        if not claim.is_cyborg and not is_hold:
            raise Permanent(
                "Nova itself manages this card, so Cyborg cannot bind it. It can be held, which keeps it from others.",
                code="not_supported",
            )
        steps = []
        if there.held != claim.allocations or there.mark != claim.mark:
            steps.append(self._put(target, there.consumer, claim.allocations, str(claim.mark)))
        if is_hold or there.is_bound_to(claim.slots):
            return steps
        return [*steps, *self._unbinding(there), *self._binding(target, there, claim)]

    def _removal(self, target: Target, there: There) -> list[Step]:
        """Raise the generation first, so that an older order stops; the claim goes last."""
        steps: list[Step] = []
        mark = replace(there.mark, generation=target.generation) if there.mark is not None else None
        text = str(mark or there.consumer.user_id)
        if mark != there.mark and there.requests:
            steps.append(self._put(target, there.consumer, there.held, text))
        steps += self._unbinding(there)
        if there.profile is not None:
            steps.append(self._forget(there.profile))
        if there.consumer.allocations:
            steps.append(self._put(target, there.consumer, {}, text))
        return steps

    def _unbinding(self, there: There) -> list[Step]:
        steps = []
        if there.bound:
            steps.append(self._cyborg("DELETE", f"/accelerator_requests?instance={there.uuid}"))
        if there.loose:
            refs = ",".join(sorted(each.uuid for each in there.loose))
            steps.append(self._cyborg("DELETE", f"/accelerator_requests?arqs={refs}"))
        return steps

    def _binding(self, target: Target, there: There, claim: Claim) -> list[Step]:
        steps = []
        description = str(replace(claim.mark, generation=0))
        profile = {"name": target.ref, "description": description, "groups": claim.groups}
        known = there.profile
        if known is not None and (known.groups, known.description) != (claim.groups, description):
            steps.append(self._forget(known))
            known = None
        if known is None:
            steps.append(self._cyborg("POST", "/device_profiles", [profile], {"profile": profile}))
        asked = {"device_profile_name": target.ref}
        steps.append(self._cyborg("POST", "/accelerator_requests", asked, asked))
        fields = {"hostname": claim.host, "instance_uuid": there.uuid, "device_rp_uuid": claim.slots}
        call = Call(verb="PATCH", object="accelerator /accelerator_requests", body=fields)
        return [*steps, Step(call, lambda: self._bind(target, there, claim))]

    def _forget(self, profile: Profile) -> Step:
        return self._cyborg("DELETE", f"/device_profiles/{profile.uuid}")

    # --- doing it -----------------------------------------------------------------------------------------------------

    def _cyborg(self, verb: str, path: str, body: object = None, told: Mapping[str, object] | None = None) -> Step:
        return change(self._cloud, "accelerator", verb, path, body, told=told)

    def _put(self, target: Target, known: Consumer, allocations: dict[str, dict[str, int]], mark: str) -> Step:
        """Write the allocation, and read it back before anything is built on it."""
        path = f"/allocations/{marks.consumer(target)}"
        body = {
            "allocations": {provider: {"resources": units} for provider, units in sorted(allocations.items())},
            "project_id": self._project_id,
            "user_id": mark,
            "consumer_type": marks.OURS,
        }

        def send() -> None:
            guarded = {**body, "consumer_generation": known.consumer_generation}
            answer = self._cloud.send("placement", "PUT", path, guarded, versions=CONSUMERS, accept=(409,))
            if answer.status == 409:
                raise refusal(answer.body, self._cloud.words(answer))
            now = self._cloud.get("placement", path, Consumer, versions=CONSUMERS)
            if {provider: each.resources for provider, each in now.allocations.items()} != allocations or (
                allocations and now.user_id != mark
            ):
                raise unconfirmed(f"Placement does not have {path} as it was written")
            known.consumer_generation = now.consumer_generation

        return Step(Call(verb="PUT", object=f"placement {path}", body=body), send)

    def _bind(self, target: Target, before: There, claim: Claim) -> None:
        """Bind all requests in one call; what it answers proves nothing, so the requests are read again."""
        loose = sorted(each.uuid for each in read(self._cloud, target).loose)
        if len(loose) != len(claim.slots):
            raise unconfirmed(f"Cyborg has {len(loose)} of {len(claim.slots)} accelerator requests")
        fields = {"hostname": claim.host, "instance_uuid": before.uuid}
        if self._project_id != self._cloud.access().project_id:
            fields["project_id"] = self._project_id  # only the role admin may name another than its own
        patch = {
            uuid: [
                {"path": f"/{name}", "op": "add", "value": value}
                for name, value in {**fields, "device_rp_uuid": provider}.items()
            ]
            for uuid, provider in zip(loose, claim.slots, strict=True)
        }
        answer = self._cloud.send(
            "accelerator",
            "PATCH",
            "/accelerator_requests",
            patch,
            versions=BIND if "project_id" in fields else CYBORG,
            accept=_ANSWERED,
        )
        now = self._bound(target)
        if now.is_bound_to(claim.slots):
            return
        if answer.status < 300:
            raise unconfirmed("Cyborg took the binding and has not bound the cards")
        raise _NotBound(_refused(answer.status, self._cloud.words(answer)))

    def _bound(self, target: Target) -> There:
        end = time.monotonic() + BIND_SECONDS
        there = read(self._cloud, target)
        while any(each.state == STARTED for each in there.bound) and time.monotonic() < end:
            time.sleep(0.3)
            there = read(self._cloud, target)
        return there

    def _undo(self, target: Target, *, is_kept: bool) -> None:
        """Take back a binding that failed. A claim that was there before all tries, a hold, is kept."""
        now = read(self._cloud, target)
        take(self._unbinding(now) if is_kept else self._steps(target, None, now, is_hold=False), [])

    def _confirm(self, target: Target, order: Order | None, changes: list[Call], *, is_hold: bool) -> None:
        left = self._steps(target, order, read(self._cloud, target), is_hold=is_hold) if changes else []
        if left:
            raise unconfirmed(f"{left[0].call.verb} {left[0].call.object} is still to be done after all was sent")


class _NotBound(Exception):
    """Cyborg refused a binding. ``error`` is what to raise when all was taken back."""

    def __init__(self, error: ConnectorError) -> None:
        super().__init__(str(error))
        self.error = error


def _refused(status: int, words: str) -> ConnectorError:
    if status == 403:
        return Denied(
            "Cyborg forbids the binding; all was taken back. It binds for services only: give the account the role "
            "service, and what else the pool's check lists.",
            code="forbidden",
            platform_words=words,
        )
    if status == 404:
        return NoCapacity(
            "Cyborg has no free slot on the card, though Placement has: it is bound behind Placement's back. Take "
            "another place, and see who has it in Cyborg's accelerator requests.",
            platform_words=words,
        )
    return Permanent(
        "Cyborg refuses to bind the cards. Its own words say why; all was taken back.",
        code="rejected",
        platform_words=words,
    )

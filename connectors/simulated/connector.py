"""The reference connector: shows and changes a fleet that exists only in a file."""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Literal

from msgspec.structs import replace

from connectors.addresses import BY_DEFAULT, Outgoing
from connectors.contract import (
    Absent,
    CanGrantAccess,
    CanHold,
    CanPower,
    CanResize,
    CanTelemeter,
    CanWatch,
    Check,
    Connector,
    Cursor,
    Delivery,
    Denied,
    DeviceFact,
    Done,
    Found,
    Identity,
    Last,
    NodeFact,
    Order,
    Outcome,
    Page,
    Pending,
    Permanent,
    Place,
    Plan,
    Reading,
    Target,
    Tier,
    Transient,
)
from connectors.simulated import fleet, view
from connectors.simulated.faults import strike
from connectors.simulated.fleet import Spec
from connectors.simulated.manifest import MANIFEST
from connectors.simulated.orders import changes
from connectors.simulated.state import State, Store, TargetState, When, take_fault
from connectors.simulated.view import View

PENDING_SECONDS = 0.1
WATCH_SECONDS = 1.0
WATCH_QUIET_SECONDS = 60.0
CLOCK_SECONDS = 60


class Simulated(Connector, CanHold, CanPower, CanTelemeter, CanWatch, CanResize, CanGrantAccess):
    """A platform of our own making. Its store says how it behaves, and may be changed while it runs."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        credential: Mapping[str, Any],
        _outgoing: Outgoing = BY_DEFAULT,
        installation: str = "",
    ) -> None:
        name = settings["fleet"]
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise Permanent("The fleet name may have letters, digits, dots and dashes only.", code="invalid_settings")
        models = (settings["models"] or "").split(",")
        self._spec = Spec(
            seed=settings["seed"],
            nodes=settings["nodes"],
            devices_per_node=settings["devices_per_node"],
            character=settings["character"],
            models=tuple(model.strip() for model in models if model.strip()),
            used_percent=settings["used_percent"],
            has_trouble=settings["has_trouble"],
        )
        self._name = name
        self._installation = installation
        self._page_size = settings["page_size"]
        self._is_incremental = settings["is_incremental"]
        self._latency_ms = settings["latency_ms"]
        self._token = credential.get("token") or ""
        self.store = Store(settings["state_folder"], name)
        self._closed = threading.Event()

    # --- what is there ------------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        with self._call("identity") as state:
            return self._identity(state)

    def check(self) -> Check:
        with self._call("check") as state:
            ahead = state.knobs.clock_ahead_seconds
            warnings: tuple[str, ...] = ("This pool is simulated: nothing in it exists.",)
            if abs(ahead) >= CLOCK_SECONDS:
                warnings += (f"The platform's clock is {ahead} s ahead of ours. Set both clocks by NTP.",)
            return Check(
                identity=self._identity(state),
                watch=Tier(ok=not state.knobs.missing_watch, missing=state.knobs.missing_watch),
                manage=Tier(ok=not state.knobs.missing_manage, missing=state.knobs.missing_manage),
                warnings=warnings,
                capabilities=MANIFEST.capabilities,
            )

    def observe(self, cursor: Cursor | None) -> Iterator[Page]:
        state = self._enter("observe")
        _refuse_missing(state.knobs.missing_watch)
        place = self._place(state)
        since_version = self._since(cursor, place, state)
        nodes = view.distorted(self._nodes(state, since_version), state.knobs)
        pages = view.pages(nodes, self._page_size)
        told: list[NodeFact] | None = next(pages)
        while told is not None:
            following = next(pages, None)
            page = Page(nodes=told, byte_count=view.weight_bytes(told), is_full=since_version is None)
            if following is None:
                self._strike("observe", "during")
                gone = () if since_version is None else tuple(sorted(state.world.gone & state.changed.keys()))
                page = replace(page, gone=gone, last=Last(complete=True, cursor=place))
            elif state.knobs.repeats_page:
                yield page
            yield page
            if following is not None:
                self._strike("observe", "during")
                self._wait(state)
            told = following

    def watch(self, cursor: Cursor) -> Iterator[Page]:
        """Tell changes by the version that each node last changed in. Ends when the cursor is of another fleet."""
        told_at = time.monotonic()
        while not self._closed.is_set():
            state = self._enter("watch")
            _refuse_missing(state.knobs.missing_watch)
            place = self._place(state)
            version = cursor.get("version")
            if {**cursor, "version": 0} != {**place, "version": 0} or not isinstance(version, int):
                return
            if version > state.version:
                return  # the platform was put back to an earlier state
            if version < state.version or time.monotonic() - told_at > WATCH_QUIET_SECONDS:
                told = tuple(self._nodes(state, version))
                gone = tuple(sorted(ref for ref in state.world.gone if state.changed.get(ref, 0) > version))
                last = Last(complete=True, cursor=place)
                yield Page(nodes=told, gone=gone, byte_count=view.weight_bytes(told), is_full=False, last=last)
                cursor, told_at = place, time.monotonic()
                self._strike("watch", "during")
            self._closed.wait(WATCH_SECONDS)

    def close(self) -> None:
        """End a watch that another thread waits for."""
        self._closed.set()

    def _place(self, state: State) -> dict[str, Any]:
        return {"fleet": self._identity(state).key, "spec": str(self._spec), "version": state.version}

    def _shown(self, state: State) -> View:
        return View(self._spec, state, self._installation)

    def _since(self, cursor: Cursor | None, place: Mapping[str, Any], state: State) -> int | None:
        """Return the version from which an incremental observation may go on, or None for a full one."""
        if not self._is_incremental or cursor is None or state.knobs.churn_seconds:
            return None
        version = cursor.get("version")
        is_same = {**cursor, "version": 0} == {**place, "version": 0}
        return version if is_same and isinstance(version, int) and version <= state.version else None

    def _nodes(self, state: State, since_version: int | None) -> Iterator[NodeFact]:
        shown = self._shown(state)
        if state.knobs.is_empty:
            return iter(())
        if since_version is not None:
            changed = sorted(ref for ref, version in state.changed.items() if version > since_version)
            return (node for ref in changed if (node := shown.node(ref)) is not None)
        if state.knobs.churn_seconds:
            return view.churned(shown.nodes(), self._spec.seed, state.knobs.churn_seconds, time.time())
        return shown.nodes()

    # --- targets ------------------------------------------------------------------------------------------------------

    def plan(self, target: Target, orders: Sequence[Order]) -> Plan:
        with self._call("plan") as state:
            calls, _ = changes(self._spec, state, target, orders, installation=self._installation, is_held=False)
            return Plan(calls=calls)

    def apply(self, target: Target, orders: Sequence[Order]) -> Outcome:
        return self._carry("apply", target, orders, is_held=False)

    def hold(self, target: Target, orders: Sequence[Order]) -> Outcome:
        return self._carry("hold", target, orders, is_held=True)

    def probe(self, target: Target) -> Found | Absent:
        with self._call("probe") as state:
            return _found(state.targets.get(target.ref), self._installation)

    def access(self, target: Target, orders: Sequence[Order]) -> Delivery:
        with self._call("access") as state:
            stored = state.targets.get(target.ref)
            asked = sorted(order.marker for order in orders)
            is_there = stored is not None and not stored.is_held and stored.installation == self._installation
            if stored is None or not is_there or not asked or not {*asked} <= stored.orders.keys():
                raise Permanent(f"{target.ref} delivers nothing yet; apply its orders first.", code="not_found")
            text = " ".join((target.ref, *asked))
            token = blake2b(text.encode(), key=self._token.encode()[:64], digest_size=20).hexdigest()
            ends = [order.lease_end_at for marker in asked if (order := stored.orders[marker]).lease_end_at]
            return Delivery(
                kind="token",
                facts={"url": f"https://{self._name}.example/{target.ref}", "orders": " ".join(asked)},
                secrets={"token": f"simulated-{token}"},
                expires_at=max(ends) if len(ends) == len(asked) else None,
            )

    def _carry(self, call: str, target: Target, orders: Sequence[Order], *, is_held: bool) -> Outcome:
        with self._call(call) as known:
            _refuse_missing(known.knobs.missing_manage)
            with self.store.changing() as state:
                calls, wanted = changes(
                    self._spec, state, target, orders, installation=self._installation, is_held=is_held
                )
                present = state.targets.get(target.ref)
                broken = take_fault(state, call, "during")
                if calls and wanted is not None:
                    wanted.pending_calls = state.knobs.pending_calls
                elif present is not None and present.pending_calls:
                    present.pending_calls -= 1
                after = wanted if calls else present
                if broken == "deleted":
                    state.targets.pop(target.ref, None)
                elif not state.knobs.does_nothing:
                    _keep(state, target, _half(present, after) if broken else after)
                there = state.targets.get(target.ref)
            if broken and broken != "deleted":
                strike(broken)
            if there != after:
                raise _unconfirmed(target)
            if after is not None and after.pending_calls:
                return Pending(after_seconds=PENDING_SECONDS, changes=calls)
            return Done(found=_found(there, self._installation), changes=calls)

    # --- hosts --------------------------------------------------------------------------------------------------------

    def power(self, node_ref: str, wanted: Literal["on", "off"]) -> Literal["on", "off", "changing"]:
        with self._call("power"):
            if node_ref not in fleet.numbers(self._spec):
                raise Permanent(f"There is no node {node_ref}.", code="not_found")
            with self.store.changing() as state:
                (state.world.off.discard if wanted == "on" else state.world.off.add)(node_ref)
            return wanted

    def telemetry(self) -> Iterator[Reading]:
        with self._call("telemetry") as state:
            for node in self._shown(state).nodes():
                for device in node.devices:
                    yield _reading(node, device)

    # --- every call ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _call(self, name: str) -> Iterator[State]:
        yield self._enter(name)
        self._strike(name, "after")

    def _enter(self, name: str) -> State:
        self._strike(name, "before")
        state = self.store.read()
        self._wait(state)
        for word in ("wrong", "expired"):
            if self._token.startswith(word):
                raise Denied(
                    "The simulated platform does not accept the token. Put a valid one into the pool's credential.",
                    code="unauthorized",
                    platform_words=f"the token is {word}",
                )
        if (most := state.knobs.unreachable_after_observations) >= 0:
            if state.observations >= most:
                strike("unreachable")
            if name == "observe":
                with self.store.changing() as changed:
                    changed.observations += 1
        return state

    def _wait(self, state: State) -> None:
        time.sleep(max(self._latency_ms, state.knobs.latency_ms) / 1000)

    def _strike(self, name: str, when: When) -> None:
        if code := self.store.take_fault(name, when):
            strike(code)

    def _identity(self, state: State) -> Identity:
        born = f"{self._name}/{self._spec.character}/{self._spec.seed}"
        key = state.knobs.identity or f"simulated-{blake2b(born.encode(), digest_size=10).hexdigest()}"
        return Identity(key=key, label=f"Simulated fleet {self._name}", version=state.knobs.version)


def _refuse_missing(missing: Sequence[str]) -> None:
    if missing:
        raise Denied(
            f"The account lacks {', '.join(missing)}. Give it these permissions on the simulated platform.",
            code="forbidden",
            platform_words=f"missing: {', '.join(missing)}",
        )


def _unconfirmed(target: Target) -> Transient:
    return Transient(
        f"The simulated platform said done, and {target.ref} is not as ordered. ocenter asks again what is there.",
        code="unconfirmed",
    )


def _found(stored: TargetState | None, installation: str) -> Found | Absent:
    if stored is None:
        return Absent()
    is_ours = stored.installation == installation
    if not (is_ours and stored.is_marked and not stored.pending_calls):
        return Found(
            generation=stored.generation,
            undelivered=tuple(sorted(stored.orders)) if is_ours else (),
            is_ours=is_ours,
            detail={"is_held": stored.is_held},
        )
    return Found(
        generation=stored.generation,
        markers=tuple(sorted(stored.orders)),
        places={
            marker: tuple(Place(*placed.path.split("/", 1)) for placed in places)
            for marker, places in sorted(stored.placed.items())
        },
        enforced=("simulation",),
        detail={"is_held": stored.is_held},
    )


def _keep(state: State, target: Target, wanted: TargetState | None) -> None:
    if wanted is None:
        state.targets.pop(target.ref, None)
        state.removed[target.ref] = target.generation
    else:
        state.targets[target.ref] = wanted
        state.removed.pop(target.ref, None)


def _half(present: TargetState | None, wanted: TargetState | None) -> TargetState | None:
    """Return what is there when the platform breaks after the first of several orders."""
    whole = wanted or present
    if whole is None:
        return None
    first = sorted(whole.orders)[:1]
    orders = {marker: whole.orders[marker] for marker in first}
    return replace(whole, orders=orders, placed={marker: whole.placed[marker] for marker in first})


def _reading(node: NodeFact, device: DeviceFact) -> Reading:
    """Return made-up measurements. A faulty device tells none, which is not the same as zero."""
    known = Reading(
        node=node.ref, ref=device.ref, uuid=device.uuid, health=device.health, health_reason=device.health_reason
    )
    if device.health != "ok":
        return known
    share = min(1.0, sum(use.milli for use in device.uses) / 1000)
    return replace(
        known,
        utilisation_percent=round(share * 93, 1),
        memory_used_mib=round(device.memory_mib * share),
        temperature_celsius=round(31 + share * 40, 1),
        power_watts=round(70 + share * 530, 1),
        ecc_uncorrected=0,
    )

"""The life of an allocation on a real platform: asked for, carried, handed over, used, given back, proven gone."""

import time
from collections import Counter
from collections.abc import Callable

from tests.life.platform import Shape
from tests.life.tenant import Tenant

Say = Callable[[str], None]


def walk(tenant: Tenant, shape: Shape, say: Say = lambda line: None) -> None:
    """Lead one allocation from the request to its end. Fails at the first thing that is not as it should be."""
    platform = tenant.platform
    before = platform.picture()

    began = time.monotonic()
    id = tenant.ask(shape)
    tenant.bind(id)
    active_seconds = time.monotonic() - began
    told = {each["member"]: each for each in reversed(tenant.operations(id))}  # the last one of each member
    assert told and {each["state"] for each in told.values()} == {"confirmed"}, told
    calls = Counter(call["verb"] for each in told.values() for call in each["calls"])
    tenant.observe()
    tenant.check()

    given = tenant.given(id, shape)
    assert given.deliveries and platform.picture() != before
    assert all(device["claimed_milli"] and not device["shadow_milli"] for device in given.devices), given.devices
    seen = platform.prove(given)

    began = time.monotonic()
    tenant.end(id)
    ended_seconds = time.monotonic() - began
    seen_after = platform.prove_ended(given)
    assert platform.picture() == before, "something is left on the platform"
    tenant.check_nothing_left()

    say(f"{platform.name}: {shape.name}")
    made = ", ".join(f"{verb} x {count}" for verb, count in calls.items()) or "calls of earlier attempts"
    say(f"  active after {active_seconds:.1f} s by {made}")
    say(f"  {seen}")
    say(f"  gone after {ended_seconds:.1f} s; {seen_after}; no claim, target, delivery, use, orphan or drift is left")

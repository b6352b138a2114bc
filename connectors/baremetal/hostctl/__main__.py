"""The verbs: observe, plan, apply, restore. JSON on standard output.

Exit codes: 0 done, 2 refused, 3 stale (the host carries a newer document), 4 incomplete (a repeat goes on).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

from . import VERSION, files, memory, steps
from .document import FIRST_UID, LAST_UID, Document
from .errors import Incomplete, Refused, Stale
from .host import Host
from .judging import WHO, judged
from .step import Step

DONE, REFUSED, STALE, INCOMPLETE, WRONG_USAGE = 0, 2, 3, 4, 64
MOST_BYTES = 4 * 2**20


def observe(host: Host, _given: str) -> dict[str, Any]:
    """Tell what the host carries and what it lacks, who holds which node, and which uids are taken."""
    present = memory.saved(host)
    left = steps.between(host, present) if present else []
    waiting = frozenset().union(*(step.users for step in left)) if left else frozenset()
    users = [lease.user for lease in present.leases] if present else []
    nodes = {*present.nodes, *present.lessees} if present else set()
    holders = host.holders(nodes)
    return {
        "version": VERSION,
        "host": (host.text(WHO) or "").strip(),
        "time": int(time.time()),
        "enforced": _enforced(host, present),
        "document": dict(present.raw) if present else None,
        "delivered": [user for user in users if user not in waiting],
        "leaving": sorted(waiting - set(users)),
        "remaining": [step.told for step in left],
        "uids": sorted(account.uid for account in host.accounts() if FIRST_UID <= account.uid <= LAST_UID),
        "holders": {
            node: [{"pid": each.pid, "uid": each.uid} for each in found] for node, found in holders.items() if found
        },
    }


def plan(host: Host, given: str) -> dict[str, Any]:
    """Tell the steps that apply would take."""
    wanted = judged(host, given)
    return {"changes": [step.told for step in (*_to_keep(host, wanted), *_to_do(host, wanted))]}


def apply(host: Host, given: str) -> dict[str, Any]:
    """Make the host carry a document."""
    with host.locked():
        wanted = judged(host, given)
        if not wanted.leases:
            memory.keep_released(host, wanted)
        return _carry(host, wanted)


def restore(host: Host, _given: str) -> dict[str, Any]:
    """Make the host carry the document that it was given last: after a boot, device nodes are new."""
    with host.locked():
        present = memory.saved(host)
        return _carry(host, present) if present else {"changes": []}


def _carry(host: Host, wanted: Document) -> dict[str, Any]:
    """Take all steps that can be taken: what hinders one lease, such as a dead card, hinders no other."""
    # The wish is kept before it is fulfilled: whatever ends us in between, restore and every repeat know it.
    taken = _to_keep(host, wanted)
    for step in taken:
        step.do()
    users, stuck, failed = {lease.user for lease in wanted.leases}, set[str](), dict[str, str]()
    for step in _to_do(host, wanted):
        if step.users and step.users <= stuck & users:
            continue  # nobody is given a part of what cannot be given whole; keys come last
        try:
            step.do()
        except (Incomplete, OSError) as error:
            failed[str(step)] = str(error)
            stuck |= step.users
        else:
            taken.append(step)
    for step in _to_do(host, wanted):
        if not step.users or not step.users <= stuck:
            failed.setdefault(str(step), "it is still to be done")
    if failed:
        raise Incomplete("; ".join(f"{step}: {why}" for step, why in failed.items())[:1000])
    return {"changes": [step.told for step in taken]}


def _to_do(host: Host, wanted: Document) -> list[Step]:
    before = memory.saved(host)
    if before is not None and before.leases and not before.is_same_target(wanted):
        return []  # judged: of a target that is not here nothing is wanted
    return steps.between(host, wanted)


def _to_keep(host: Host, wanted: Document) -> list[Step]:
    before = memory.saved(host)
    if before is not None and before.raw == wanted.raw:
        return []
    is_there = before is not None and before.is_same_target(wanted)
    if not wanted.leases and not is_there and not _to_do(host, wanted):
        return []
    text = json.dumps(dict(wanted.raw), sort_keys=True)
    body = {"generation": wanted.generation, "leases": [lease.user for lease in wanted.leases]}
    keep = partial(host.write, memory.DESIRED, text, 0o600)
    return [Step("write", "document", keep, {**body, "digest": files.digest(text)})]


def _enforced(host: Host, present: Document | None) -> list[str]:
    if not host.has_systemd or present is None or not present.leases:
        return ["acl"]
    policies = [(lease, host.slice_policy(lease.uid)) for lease in present.leases]
    is_fenced = all("DevicePolicy=closed" in said and all(n in said for n in lease.nodes) for lease, said in policies)
    return ["acl", "cgroup"] if is_fenced else ["acl"]


VERBS: dict[str, Callable[[Host, str], dict[str, Any]]] = {
    verb.__name__: verb for verb in (observe, plan, apply, restore)
}


def main(arguments: list[str], given: TextIO, told: TextIO, host: Host | None = None) -> int:
    """Carry out one verb and return the exit code."""
    if len(arguments) != 1 or arguments[0] not in VERBS:
        told.write(json.dumps({"error": "usage", "message": f"one of {', '.join(VERBS)}"}) + "\n")
        return WRONG_USAGE
    try:
        text = given.read(MOST_BYTES) if arguments[0] in ("plan", "apply") else ""
        answer, code = VERBS[arguments[0]](host or Host(), text), DONE
    except Refused as error:
        answer, code = {"error": error.code, "message": str(error)}, REFUSED
    except Stale as error:
        answer, code = {"error": "stale", "message": str(error)}, STALE
    except Incomplete as error:
        answer, code = {"error": error.code, "message": str(error)}, INCOMPLETE
    except OSError as error:
        answer, code = {"error": "incomplete", "message": str(error)}, INCOMPLETE
    told.write(json.dumps(answer, sort_keys=True) + "\n")
    return code


def run() -> int:
    """Be the program."""
    os.umask(0o022)  # sshd reads keys as the lessee, whatever umask sudo was given
    return main(sys.argv[1:], sys.stdin, sys.stdout)


if __name__ == "__main__":
    sys.exit(run())

"""What stands between the host and the document, as steps: plan lists them, apply takes them, in the same order.

First all that must go, keys before anything else; then all that is to be given, keys after everything else.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial

from . import files
from .document import FIRST_UID, LAST_UID, Document, Lease
from .host import Account, Host
from .nodes import Nodes, strangers
from .step import Step


def between(host: Host, document: Document) -> list[Step]:
    """Return the steps from what is there to what shall be there. Changes nothing."""
    accounts = {account.name: account for account in host.accounts() if account.is_ours}
    nodes = Nodes(host, document)
    leaving = [account for account in accounts.values() if not _is_kept(account, document)]
    return [
        *_keys_to_take(host, document),
        *_processes_to_end(host, document, leaving),
        *nodes.to_close(),
        *_slices_to_take(host, document),
        *(_removal(host, account) for account in leaving),
        *_groups_to_take(host),
        *_accounts_to_make(host, document, accounts.keys() - {account.name for account in leaving}),
        *_accounts_to_mend(host, document, accounts),
        *_slices_to_write(host, document),
        *nodes.to_open(),
        *_keys_to_write(host, document),
    ]


def _is_kept(account: Account, document: Document) -> bool:
    return any((lease.user, lease.uid) == (account.name, account.uid) for lease in document.leases)


# --- keys -------------------------------------------------------------------------------------------------------------


def _keys_to_take(host: Host, document: Document) -> Iterator[Step]:
    wanted = {lease.user: lease for lease in document.leases}
    for name in host.names(files.KEYS):
        if not name.startswith("oc-"):
            continue  # the control plane's own key, or somebody else's, is never ours to remove
        path = f"{files.KEYS}/{name}"
        lease = wanted.get(name)
        if lease is None or not files.keys_in(host.text(path) or "") <= files.keys_in(files.keys(document, lease)):
            yield Step("remove", path, partial(host.unlink, path), users=frozenset([name]))


def _keys_to_write(host: Host, document: Document) -> Iterator[Step]:
    for lease in document.leases:
        yield from _to_write(host, f"{files.KEYS}/{lease.user}", files.keys(document, lease), lease)


def _to_write(
    host: Host, path: str, text: str, lease: Lease, then: Callable[[], None] = lambda: None
) -> Iterator[Step]:
    present = host.text(path)
    mode = stat.S_IMODE(host.path(path).stat().st_mode) if present is not None else None
    if (present, mode) != (text, 0o644):

        def write() -> None:
            host.write(path, text)
            then()

        body = {"digest": files.digest(text), "lease": lease.id}
        yield Step("create" if present is None else "replace", path, write, body, frozenset([lease.user]))


# --- processes --------------------------------------------------------------------------------------------------------


def _processes_to_end(host: Host, document: Document, leaving: Collection[Account]) -> Iterator[Step]:
    for account in leaving:
        find = partial(host.processes_of, account.uid)
        if find():
            yield Step("end", f"processes of {account.name}", partial(host.end, find), users=frozenset([account.name]))
    uids = [account.uid for account in leaving]
    for node, pids in sorted(strangers(host, document, uids).items()):
        if pids:

            def still(node: str = node) -> list[int]:
                return strangers(host, document, uids)[node]

            yield Step("end", f"processes that hold {node}", partial(host.end, still))


# --- slices -----------------------------------------------------------------------------------------------------------


def _slices_to_take(host: Host, document: Document) -> Iterator[Step]:
    wanted = {files.slice_path(lease.uid) for lease in document.leases}
    for uid in _uids_with_slices(host):
        path = files.slice_path(uid)
        if path not in wanted and host.path(path).exists():
            yield Step("remove", path, partial(_remove_slice, host, path))


def _uids_with_slices(host: Host) -> Iterator[int]:
    for name in host.names("/etc/systemd/system"):
        found = re.fullmatch(r"user-(\d+)\.slice\.d", name)
        if found and FIRST_UID <= int(found[1]) <= LAST_UID:
            yield int(found[1])


def _remove_slice(host: Host, path: str) -> None:
    host.unlink(path)
    if not host.names(path.rsplit("/", 1)[0]):
        host.path(path).parent.rmdir()
    host.reload_systemd()


def _slices_to_write(host: Host, document: Document) -> Iterator[Step]:
    for lease in document.leases:
        path = files.slice_path(lease.uid)
        yield from _to_write(host, path, files.slice_drop_in(document, lease), lease, host.reload_systemd)


# --- accounts ---------------------------------------------------------------------------------------------------------


def _removal(host: Host, account: Account) -> Step:
    remove = partial(host.remove_account, account)
    return Step("remove", f"account {account.name}", remove, {"uid": account.uid}, frozenset([account.name]))


def _groups_to_take(host: Host) -> Iterator[Step]:
    """Yield the groups that an account left: one of the same name could not be made again."""
    names = {account.name for account in host.accounts()}
    for name, (number, members) in sorted(host.groups().items()):
        is_ours = name.startswith("oc-") and FIRST_UID <= number <= LAST_UID
        if is_ours and name not in names and not any(members):
            yield Step("remove", f"group {name}", partial(host.remove_group, name), users=frozenset([name]))


def _accounts_to_make(host: Host, document: Document, kept: Collection[str]) -> Iterator[Step]:
    for lease in document.leases:
        if lease.user not in kept:
            comment = files.comment(document, lease)
            yield Step(
                "create",
                f"account {lease.user}",
                partial(host.add_account, lease.user, lease.uid, comment),
                {"uid": lease.uid, "lease": lease.id},
                frozenset([lease.user]),
            )


def _accounts_to_mend(host: Host, document: Document, accounts: Mapping[str, Account]) -> Iterator[Step]:
    for lease in document.leases:
        account = accounts.get(lease.user)
        if account is None or account.uid != lease.uid:
            continue
        about, comment = frozenset([lease.user]), files.comment(document, lease)
        if account.comment != comment:
            mark = partial(host.mark_account, lease.user, comment)
            yield Step("mark", f"account {lease.user}", mark, {"lease": lease.id}, about)
        home = host.path(account.home)
        if home.is_dir() and stat.S_IMODE(home.stat().st_mode) != 0o700:
            yield Step("close", account.home, partial(home.chmod, 0o700), {"mode": "0o700"}, about)

"""Who may do what: one table of data, role x noun x verb. What is not in it is denied.

A platform role reaches everything; a project role reaches its project and all below. Edges ask `Access` (access.py).
"""

from collections.abc import Mapping
from typing import Final

VERBS: Final = {"r": "read", "c": "create", "e": "edit", "d": "remove", "o": "operate"}
PLATFORM_ROLES: Final = ("admin", "operator", "auditor", "finance")
PROJECT_ROLES: Final = ("owner", "manager", "member", "viewer")
ROLES: Final = PLATFORM_ROLES + PROJECT_ROLES

# Letters as in VERBS. `pool` of a project role reaches only pools granted to the project, and of those only what a
# tenant may know. `operate` is: of a pool check, sync, pause and the like; of a run approve and reject; of a device to
# say which pool gives it out; of drift and orphans to decide what becomes of them; of a project suspend and resume,
# which (as create and remove) is asked of the project above; so is edit of a quota. Of an allocation create is to ask
# for one, edit to confirm, extend or resize it, remove to give it back, operate to let others make room for it.
_TABLE: Final = """
noun             admin  operator  auditor  finance  owner  manager  member  viewer
pool             rcedo  rcedo     r        r        r      r        r       r
kind             r      r         r        .        .      .        .       .
model            r      r         r        r        r      r        r       r
node             r      r         r        .        .      .        .       .
device           ro     ro        r        .        .      .        .       .
sync_run         ro     ro        r        .        .      .        .       .
grant            re     re        r        r        .      .        .       .
project          rcedo  r         r        r        rcedo  rce      r       r
quota            re     re        r        r        re     re       r       r
allocation       rcedo  rcedo     r        r        rced   rced     rced    r
ledger           r      r         r        r        r      r        r       r
capacity         r      r         r        r        r      r        r       r
flavor           rced   rced      r        r        r      r        r       r
price            rc     r         r        rc       r      r        r       r
member           rced   r         r        .        rced   rced     r       r
invitation       rcd    .         r        .        rcd    rcd      .       .
service_account  rced   .         r        .        rced   rced     r       r
token            rd     .         r        .        .      .        .       .
user             rced   .         r        .        .      .        .       .
platform_role    rced   .         r        .        .      .        .       .
sso_group        rced   .         r        .        .      .        .       .
session          rd     .         r        .        .      .        .       .
audit            r      .         r        .        r      .        .       .
event            r      r         r        .        r      r        r       r
system           r      r         r        .        .      .        .       .
orphan           ro     ro        r        .        .      .        .       .
drift            ro     ro        r        .        .      .        .       .
"""


def _read(table: str) -> dict[str, dict[str, frozenset[str]]]:
    (_, *roles), *lines = (line.split() for line in table.strip().splitlines())
    rights: dict[str, dict[str, frozenset[str]]] = {role: {} for role in roles}
    for noun, *cells in lines:
        for role, cell in zip(roles, cells, strict=True):
            rights[role][noun] = frozenset(VERBS[letter] for letter in cell if letter != ".")
    return rights


RIGHTS: Final[Mapping[str, Mapping[str, frozenset[str]]]] = _read(_TABLE)
"""{role: {noun: verbs}}."""
NOUNS: Final = tuple(RIGHTS["admin"])
MINE: Final = "me"
"""The noun of what belongs to whoever asks: profile, own sessions, own tokens. It needs no role."""


def may(role: str, noun: str, verb: str) -> bool:
    """True when the role may do this to the noun, where the role reaches."""
    return verb in RIGHTS[role].get(noun, frozenset())


def gives(own_role: str, role: str) -> bool:
    """True when somebody with ``own_role`` in a project may give (or take) ``role`` there: never one above the own."""
    return own_role in PLATFORM_ROLES or PROJECT_ROLES.index(role) >= PROJECT_ROLES.index(own_role)

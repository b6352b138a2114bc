"""Access control lists of device nodes, as the kernel keeps them: no program is needed, and the mask is seen.

An entry that the mask takes away is listed by getfacl and lets nobody in; ``chmod 600`` does that.
Source: linux/include/uapi/linux/posix_acl_xattr.h, acl(5).
"""

import errno
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_ATTRIBUTE = "system.posix_acl_access"
_VERSION, _NOBODY = 2, 0xFFFFFFFF
_OWNER, _USER, _GROUP, _NAMED_GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
READ_WRITE = 6


@dataclass(frozen=True)
class Access:
    """Who may open a node. ``users`` has what each named user effectively may; ``has_groups`` tells of named groups."""

    owner: int
    group: int
    other: int
    users: Mapping[int, int]
    has_groups: bool = False

    @property
    def granted(self) -> frozenset[int]:
        """The named users that can read and write."""
        return frozenset(uid for uid, may in self.users.items() if may & READ_WRITE == READ_WRITE)


def read(path: Path) -> Access:
    """Return the effective access to a node. Raises OSError."""
    mode = stat.S_IMODE(path.lstat().st_mode)
    try:
        packed = os.getxattr(path, _ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return Access(mode >> 6 & 7, mode >> 3 & 7, mode & 7, {})
    entries = list(struct.iter_unpack("<HHI", packed[4:]))
    kept = {tag: may for tag, may, _ in entries if tag not in (_USER, _NAMED_GROUP)}
    mask = kept.get(_MASK, 7)
    return Access(
        owner=kept[_OWNER],
        group=kept[_GROUP],
        other=kept[_OTHER],
        users={uid: may & mask for tag, may, uid in entries if tag == _USER},
        has_groups=any(tag == _NAMED_GROUP for tag, _, _ in entries),
    )


def fence(path: Path, uids: Iterable[int]) -> None:
    """Let root, the node's group and these users open a node, and nobody else. Raises OSError."""
    before = read(path)
    owner, group = before.owner | READ_WRITE, before.group
    entries = [(_OWNER, owner, _NOBODY)]
    entries += [(_USER, READ_WRITE, uid) for uid in sorted(uids)]
    entries += [(_GROUP, group, _NOBODY), (_MASK, READ_WRITE | group, _NOBODY), (_OTHER, 0, _NOBODY)]
    packed = struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, _ATTRIBUTE, packed, follow_symlinks=False)


def open_up(path: Path, mode: int) -> None:
    """Take all lists off a node and give it a plain mode. Raises OSError."""
    try:
        os.removexattr(path, _ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    path.chmod(mode)

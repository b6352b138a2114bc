"""What an administrator puts on a host once, so that ocenter can give out its cards: all of it as text to be read."""

import io
import shlex
import zipfile
from pathlib import Path

from msgspec import Struct

from connectors.baremetal import desired
from connectors.baremetal.look import HELPER, LOOK, REFUSED_BY_GATE
from connectors.baremetal.ssh import bounded
from connectors.baremetal.tools.catalog import TOOLS

GATE, HOST_FILE = "/usr/local/bin/ocenter-gate", "/etc/ocenter/host"
SUDOERS, SSHD = "/etc/sudoers.d/ocenter", "/etc/ssh/sshd_config.d/50-ocenter.conf"
RESTORE = "/etc/systemd/system/ocenter-restore.service"
VARIABLES = (
    "ASCEND_RT_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "MACA_VISIBLE_DEVICES",
    "MLU_VISIBLE_DEVICES",
    "MUSA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
)
"""What a lease's keys may set. sshd takes no other variable from them."""
_PYTHON = b"#!/usr/bin/python3 -I\n"
_SOURCE = Path(__file__).with_name("hostctl")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class File(Struct, frozen=True):
    """A file of root's. ``why`` is for the administrator."""

    path: str
    mode: int
    content: bytes
    why: str


def files(user: str, service_key: str, fingerprint: str, has_systemd: bool) -> tuple[File, ...]:
    """Return the files. ``service_key`` is the pool's public key, ``fingerprint`` that of the host's pinned key."""
    found = [
        File(HELPER, 0o755, helper(), "the helper: Python's standard library only, runs as root by sudo"),
        File(GATE, 0o755, gate().encode(), "what the service key may say: this list and nothing else"),
        File(SUDOERS, 0o440, sudoers(user).encode(), "three verbs of the helper, nothing else"),
        File(HOST_FILE, 0o644, f"{fingerprint}\n".encode(), "who this host is: other hosts' documents are refused"),
        File(f"/etc/ocenter/service/{user}", 0o644, authorized_key(service_key).encode(), "the pool's key"),
        File(SSHD, 0o644, sshd(user).encode(), "where sshd finds the keys of the service and of leases"),
    ]
    if has_systemd:
        found.append(File(RESTORE, 0o644, restore().encode(), "after a boot: device nodes are new, leases are not"))
    return tuple(found)


def helper() -> bytes:
    """Return the helper as one file that Python runs: the same bytes for the same source, which can be read in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        start = b"import sys\n\nfrom hostctl.__main__ import run\n\nsys.exit(run())\n"
        archive.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), start)
        for path in sorted(_SOURCE.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"hostctl/{path.name}", _EPOCH), path.read_bytes())
    return _PYTHON + packed.getvalue()


def commands() -> tuple[str, ...]:
    """Return every command line that the connector ever says to a host."""
    lines = [LOOK, desired.OBSERVE, desired.PLAN, desired.APPLY, desired.RIGHTS]
    lines += [bounded(line) for tool in TOOLS.values() for line in (tool.command, tool.second) if line]
    return tuple(dict.fromkeys(lines))


def gate() -> str:
    """Return the forced command of the service key."""
    cases = "".join(f"{shlex.quote(line)}) ;;\n" for line in commands())
    return (
        "#!/bin/sh\n# The forced command of ocenter's service key: these lines, letter by letter.\n"
        f'case "$SSH_ORIGINAL_COMMAND" in\n{cases}*)\n    echo "refused by ocenter-gate" >&2\n'
        f'    exit {REFUSED_BY_GATE} ;;\nesac\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )


def sudoers(user: str) -> str:
    """Return the one rule of sudo."""
    return f"{user} ALL=(root:root) NOPASSWD: {', '.join(desired.AS_ROOT.values())}\n"


def authorized_key(service_key: str) -> str:
    """Return the service's authorized key."""
    return f'restrict,command="{GATE}" {service_key.strip()}\n'


def sshd(user: str) -> str:
    """Return the drop-in of sshd. Keys stand where only root writes."""
    return f"""PermitUserEnvironment {",".join(VARIABLES)}
Match User {user}
    AuthorizedKeysFile /etc/ocenter/service/%u
    AuthorizedKeysCommand none
    PasswordAuthentication no
    KbdInteractiveAuthentication no
Match User oc-*
    AuthorizedKeysFile /etc/ocenter/keys/%u
    AuthorizedKeysCommand none
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    PermitUserRC no
Match all
"""


def restore() -> str:
    """Return the unit that lets the host carry its document again after a boot.

    Drivers may come late: what could not be done is tried again every half minute, at most 30 times. A document that
    is refused stays so.
    """
    return f"""[Unit]
Description=Let the host carry its ocenter document again
After=local-fs.target systemd-udev-trigger.service
StartLimitIntervalSec=3600
StartLimitBurst=30

[Service]
Type=oneshot
ExecStart={HELPER} restore
TimeoutStartSec=120
Restart=on-failure
RestartSec=30
RestartPreventExitStatus=2 3

[Install]
WantedBy=multi-user.target
"""

"""Put the helper on a host, or take every trace of it away: first shown, then done.

Runs as the host's administrator, by an account that may become root without a password. Needs OpenSSH 9.1 (keys that
end at an instant in UTC), sudo and Python 3.9 there. Nothing is left half: what sudo or sshd would not take is refused
before it is in its place.
"""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Sequence

from msgspec import Struct

from connectors.baremetal import desired, installed
from connectors.baremetal.hosts import Host
from connectors.baremetal.installed import RESTORE, SSHD, SUDOERS, File
from connectors.baremetal.look import HELPER
from connectors.baremetal.ssh import Ssh
from connectors.contract import Permanent

COMMENT = "ocenter service account"
LEAST_OPENSSH, LEAST_PYTHON = (9, 1), (3, 9)
_RELOAD = (
    "if [ -d /run/systemd/system ]; then systemctl reload ssh 2>/dev/null || systemctl reload sshd; "
    'else kill -HUP "$(pgrep -o -x sshd)"; fi'
)


class Administrator(Struct, frozen=True):
    """The way to the host as somebody who may become root."""

    ssh: Ssh
    host: Host
    is_root: bool

    def run(self, script: str) -> str:
        """Run a shell script as root and return what it prints. Raises Permanent ``rejected`` with its complaint."""
        answer = self.ssh.ask(self.host, "sh -s" if self.is_root else "sudo -n sh -s", script)
        if answer.code != 0:
            raise Permanent(
                f"{self.host.name} refuses: {answer.complaint.strip()[-500:]}. Correct that, and run this again.",
                code="rejected",
            )
        return answer.output


class Before(Struct, frozen=True):
    """What a host has before it is prepared. ``files`` has digest and mode by path."""

    files: dict[str, str]
    facts: dict[str, str]

    @property
    def has_systemd(self) -> bool:
        """Whether systemd runs the host."""
        return "systemd" in self.facts

    def objections(self) -> list[str]:
        """Return what keeps the host from being prepared."""
        found = []
        if _version(self.facts.get("openssh", "")) < LEAST_OPENSSH:
            found.append(
                f"OpenSSH is {self.facts.get('openssh') or 'unknown'}; 9.1 is needed for keys that end in time"
            )
        if _version(self.facts.get("python", "")) < LEAST_PYTHON:
            found.append("/usr/bin/python3 of 3.9 or newer is needed for the helper")
        if "sudo" not in self.facts:
            found.append("sudo is needed")
        if "include" not in self.facts:
            found.append("/etc/ssh/sshd_config does not include /etc/ssh/sshd_config.d/*.conf")
        if others := self.facts.get("others", ""):
            last = desired.FIRST_UID + desired.UIDS - 1
            found.append(f"uids {desired.FIRST_UID} to {last} are for lessees, and somebody has one: {others}")
        return found


def look(way: Administrator, user: str) -> Before:
    """Ask the host. Changes nothing. Raises a ConnectorError."""
    paths = [file.path for file in installed.files(user, "", "", has_systemd=True)]
    uids = " ".join(map(str, range(desired.FIRST_UID, desired.FIRST_UID + desired.UIDS)))
    lines = way.run(
        f"for f in {' '.join(paths)}; do [ -f $f ] && "
        'echo "file $f $(sha256sum <$f | cut -c1-64)-$(stat -c %a-%U $f)"; done\n'
        'echo "openssh $(ssh -V 2>&1 | grep -o "OpenSSH_[0-9.]*" | cut -d_ -f2)"\n'
        "echo \"python $(/usr/bin/python3 -c 'import platform; print(platform.python_version())' 2>/dev/null)\"\n"
        "command -v sudo >/dev/null && echo sudo yes\n"
        "grep -qi '^ *Include .*/etc/ssh/sshd_config.d/' /etc/ssh/sshd_config && echo include yes\n"
        "[ -d /run/systemd/system ] && echo systemd yes\n"
        # By number: a directory that lists nobody still answers for one.
        f"echo \"others $(getent passwd {uids} | grep -v '^oc-' | cut -d: -f1,3 | xargs)\"\n"
        f'echo "account $(getent passwd {shlex.quote(user)} | cut -d: -f5)"\n'
        f"getent passwd {shlex.quote(user)} >/dev/null && echo has_account yes\n"
        f'[ -x {HELPER} ] && echo "carried $({HELPER} observe)"\n'
        "[ -e /var/lib/ocenter/desired.json ] && echo state yes\ntrue\n"
    ).splitlines()
    told = [line.split(" ", 1) for line in lines if " " in line]
    files = [value.rsplit(" ", 1) for key, value in told if key == "file"]
    return Before(files=dict(files), facts={key: value for key, value in told if key != "file"})


def missing(before: Before, files: Sequence[File]) -> list[File]:
    """Return the files that are not there as they shall be."""
    return [file for file in files if before.files.get(file.path) != _seen(file)]


def shown(before: Before, user: str, files: Sequence[File]) -> str:
    """Return what would be done, with every text that would be written."""
    steps = [] if "has_account" in before.facts else [f"create account {user} ({COMMENT})\n"]
    for file in files:
        verb = "replace" if file.path in before.files else "create"
        steps.append(f"{verb} {file.path} ({file.mode:o}): {file.why}\n")
        steps.append(_indented(file))
    if files:
        steps.append("check the new rules by visudo and sshd -t, then let sshd read its files again\n")
    return "".join(steps) or "nothing: the host is prepared\n"


def prepare(way: Administrator, before: Before, user: str, files: Sequence[File]) -> None:
    """Do it. Raises Permanent ``rejected``, with the host as it was, when sudo or sshd does not take the files."""
    way.run("".join(_script(before, user, files)))


def _script(before: Before, user: str, files: Sequence[File]) -> list[str]:
    name = shlex.quote(user)
    script = ["set -eu\numask 077\nt=$(mktemp -d)\ntrap 'rm -rf $t' EXIT\n"]
    for number, file in enumerate(files):
        script.append(f"echo {base64.b64encode(file.content).decode()} | base64 -d >$t/{number}\n")
        if file.path == SUDOERS:
            script.append(f"chmod 440 $t/{number}; visudo -cqf $t/{number}\n")
    if "has_account" not in before.facts:
        script.append(f"useradd --system --create-home --shell /bin/sh -p '*' --comment '{COMMENT}' {name}\n")
    script.append("install -d -m 755 /etc/ocenter /etc/ocenter/service /etc/ocenter/keys\n")
    script.append("install -d -m 700 /var/lib/ocenter\n")
    for number, file in enumerate(files):
        # Neither sudo nor sshd reads a file of this name before it is moved.
        script.append(f"[ ! -e {file.path} ] || cp -p {file.path} $t/{number}.old\n")
        script.append(f"install -o root -g root -m {file.mode:o} $t/{number} {file.path}.new\n")
        script.append(f"mv {file.path}.new {file.path}\n")
        if file.path == SSHD:
            back = f"if [ -e $t/{number}.old ]; then cp -p $t/{number}.old {SSHD}; else rm {SSHD}; fi"
            script.append(f"$(command -v sshd || echo /usr/sbin/sshd) -t || {{ {back}; exit 1; }}\n{_RELOAD}\n")
        if file.path == RESTORE:
            script.append("systemctl daemon-reload; systemctl enable ocenter-restore.service\n")
    return script


def traces(before: Before, user: str) -> list[str]:
    """Return what remove would take away."""
    found = list(before.files)
    if "carried" in before.facts:
        found += ["/etc/ocenter", "/var/lib/ocenter"]
    if before.facts.get("account") == COMMENT:
        found.append(f"account {user}")
    return found


def remove(way: Administrator, before: Before, user: str) -> None:
    """Take every trace away. Raises Permanent ``conflict`` while the host carries leases, or nobody knows of it."""
    _refuse_to_forget(way.host.name, before)
    script = ["set -eu\n"]
    if RESTORE in before.files:
        script.append("systemctl disable ocenter-restore.service\n")
    script.append(f"rm -f {' '.join(before.files)}\nrm -rf /etc/ocenter /var/lib/ocenter\n{_RELOAD}\n")
    if before.facts.get("account") == COMMENT:
        script.append(f"userdel -r {shlex.quote(user)} 2>/dev/null || [ $? = 12 ]\n")
    way.run("".join(script))


def _refuse_to_forget(name: str, before: Before) -> None:
    """Without the helper's state nobody could take accounts and fences of leases away."""
    if "carried" not in before.facts and "state" not in before.facts:
        return
    try:
        told = json.loads(before.facts.get("carried", ""))
        document, remaining, is_known = told["document"] or {}, told["remaining"], "error" not in told
        carried = [lease["user"] for lease in document.get("leases", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        is_known, carried, remaining = False, [], []
    if not is_known:
        raise Permanent(
            f"The helper on {name} does not tell what the host carries. Prepare the host again, then remove.",
            code="conflict",
        )
    if carried:
        raise Permanent(
            f"{name} carries leases of {', '.join(carried)}. Give them back in ocenter first.", code="conflict"
        )
    if remaining:
        raise Permanent(
            f"{name} has not taken away all of its last leases. Run {HELPER} restore there as root, then remove.",
            code="conflict",
        )


def _seen(file: File) -> str:
    return f"{hashlib.sha256(file.content).hexdigest()}-{file.mode:o}-root"


def _indented(file: File) -> str:
    if file.path == HELPER:
        return f"    {len(file.content)} bytes, sha256 {hashlib.sha256(file.content).hexdigest()}\n"
    return "".join(f"    {line}\n" for line in file.content.decode().splitlines())


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])

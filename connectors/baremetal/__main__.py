"""What an administrator of hosts does by hand: show a host's key, prepare the host, take every trace away again.

    python -m connectors.baremetal enrol ADDRESS
    python -m connectors.baremetal prepare ADDRESS --fingerprint SHA256:... --admin root --key FILE --service-key FILE
    python -m connectors.baremetal remove ADDRESS --fingerprint SHA256:... --admin root --key FILE

Without ``--yes`` the last two only show what they would do. Exit codes: 0 done or shown, 1 refused, 2 wrong usage,
75 may work later.
"""

import argparse
import re
import sys
from pathlib import Path

from connectors.addresses import Outgoing, places
from connectors.baremetal import enrol, hosts, installed, prepare
from connectors.baremetal.prepare import Administrator, Before
from connectors.baremetal.ssh import Ssh
from connectors.contract import ConnectorError, Permanent, Transient

EXIT_REFUSED, EXIT_USAGE, EXIT_LATER = 1, 2, 75


def main(arguments: list[str] | None = None) -> int:
    """Carry out one verb and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        outgoing = Outgoing(allowed=places(options.allow))
        if options.verb == "enrol":
            _say(enrol.words(enrol.shown(options.address, options.port, options.name, outgoing)))
            return 0
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", options.user) or options.user.startswith("oc-"):
            raise Permanent(f"{options.user} cannot be the service account. Give another name.", code="invalid")
        # sshd would look for the keys of this account in ocenter's folder only.
        if options.verb == "prepare" and options.user in ("root", options.admin):
            raise Permanent(
                f"{options.user} is the administrator's, and would be locked out. Give another name.", code="invalid"
            )
        way = _way(options, outgoing)
        before = prepare.look(way, options.user)
        return (_prepare if options.verb == "prepare" else _remove)(way, before, options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    except ConnectorError as error:
        sys.stderr.write(f"{error} {error.platform_words}".strip() + "\n")
        return EXIT_LATER if isinstance(error, Transient) else EXIT_REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connectors.baremetal", description="Hosts of a bare metal pool.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, told in (
        ("enrol", "show the key of a host, to be compared"),
        ("prepare", "put the helper on a host"),
        ("remove", "take every trace of ocenter from a host"),
    ):
        one = verbs.add_parser(verb, help=told)
        one.add_argument("address")
        one.add_argument("--port", type=int, default=22)
        one.add_argument("--allow", metavar="NETWORK", action="append", default=[], help="such as 127.0.0.0/8")
        if verb == "enrol":
            one.add_argument("--name", default="")
            continue
        one.add_argument("--fingerprint", required=True, help="of the host's key, which you compared")
        one.add_argument("--admin", required=True, help="the account to log in with: root, or one with sudo")
        one.add_argument("--key", required=True, type=Path, metavar="FILE", help="its private key")
        one.add_argument("--user", default="ocenter", help="the service account of the pool (ocenter)")
        one.add_argument("--yes", action="store_true", help="do it")
        if verb == "prepare":
            one.add_argument("--service-key", required=True, type=Path, metavar="FILE", help="the pool's public key")
    return parser


def _way(options: argparse.Namespace, outgoing: Outgoing) -> Administrator:
    host = enrol.shown(options.address, options.port, "", outgoing)
    if hosts.fingerprint(host.key) != options.fingerprint:
        raise Permanent(
            f"{options.address} shows the key {hosts.fingerprint(host.key)}, not the one you gave. If that is right, "
            "compare it on the host's console first.",
            code="tls_untrusted",
        )
    ssh = Ssh(options.admin, options.key.read_text(), None, outgoing)
    return Administrator(ssh=ssh, host=host, is_root=options.admin == "root")


def _prepare(way: Administrator, before: Before, options: argparse.Namespace) -> int:
    if objections := before.objections():
        raise Permanent(f"{way.host.name} cannot be prepared: {'; '.join(objections)}.", code="rejected")
    service_key = options.service_key.read_text().strip()
    if not re.fullmatch(r"(?:ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/=]+(?: [ -~]*)?", service_key):
        raise ValueError(f"{options.service_key} is no public key in OpenSSH's format")
    files = installed.files(options.user, service_key, options.fingerprint, before.has_systemd)
    wanted = prepare.missing(before, files)
    _say(prepare.shown(before, options.user, wanted))
    if options.yes and wanted:
        prepare.prepare(way, before, options.user, wanted)
        _say(f"done: {way.host.name} is prepared\n")
    elif wanted:
        _say("nothing was done; --yes does it\n")
    return 0


def _remove(way: Administrator, before: Before, options: argparse.Namespace) -> int:
    found = prepare.traces(before, options.user)
    _say("".join(f"remove {trace}\n" for trace in found) or "nothing: no trace of ocenter is there\n")
    if options.yes and found:
        prepare.remove(way, before, options.user)
        _say(f"done: no trace of ocenter is left on {way.host.name}\n")
    elif found:
        _say("nothing was done; --yes does it\n")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text)


if __name__ == "__main__":
    raise SystemExit(main())

"""What a pool of hosts without an orchestrator needs and can do, told without loading asyncssh."""

from connectors.contract import Manifest, Mode, Setting
from connectors.telemetry.settings import TELEMETRY_SETTINGS

MANIFEST = Manifest(
    kind="baremetal",
    label="Bare metal",
    summary="Hosts reached by SSH, their cards as the vendors' own tools tell them, and their management controllers",
    settings=(
        Setting(
            name="site",
            label="Site",
            help="A name for this group of hosts. The pool is recognised by it, so it stays for ever.",
            is_required=True,
            max_length=120,
            example="berlin-1",
        ),
        Setting(
            name="hosts",
            label="Hosts (JSON)",
            help="A list of objects with name, address, host_key and, if they differ, port and user; bmc is optional. "
            "python -m connectors.baremetal enrol ADDRESS prints one, after you compared its fingerprint.",
            type="multiline",
            is_required=True,
            max_length=2**20,
            example='[{"name": "gpu01", "address": "10.0.0.1", "host_key": "ssh-ed25519 AAAA..."}]',
        ),
        Setting(
            name="user",
            label="User name",
            help="The account on the hosts that may run the vendors' tools.",
            default="ocenter",
            max_length=64,
        ),
        Setting(
            name="private_key",
            label="Private key",
            help="In OpenSSH or PEM format. Its public key stands in the account's authorized keys.",
            type="multiline",
            is_required=True,
            is_secret=True,
            max_length=32768,
        ),
        Setting(name="passphrase", label="Passphrase of the private key", is_secret=True),
        Setting(
            name="bmc_user",
            label="User name on the management controllers",
            help="Needed where hosts have a bmc.",
            max_length=255,
        ),
        Setting(name="bmc_password", label="Password on the management controllers", is_secret=True),
        *TELEMETRY_SETTINGS,
    ),
    modes=(
        Mode(
            name="device",
            grain="device",
            target="host",
            per="node",
            forms=("whole",),
            label="Single cards of a host",
        ),
    ),
    connector="connectors.baremetal.connector:Baremetal",
    default_sync_interval_seconds=60,
    capabilities=("observe", "apply", "access", "resize", "power", "telemetry"),
    missing={
        "hold": "A host's document delivers what it holds; a card cannot be kept without an account.",
        "watch": "Hosts tell nothing by themselves; they are asked in turn.",
    },
)

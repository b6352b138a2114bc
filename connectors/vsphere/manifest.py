"""What a vSphere pool needs and can do, told without loading pyVmomi."""

from connectors.contract import Manifest, Mode, Setting
from connectors.telemetry.settings import TELEMETRY_SETTINGS

MANIFEST = Manifest(
    kind="vsphere",
    label="vSphere",
    summary="ESXi hosts of a vCenter: vGPUs, time-sliced or of MIG, and whole cards by DirectPath I/O",
    settings=(
        Setting(
            name="url",
            label="vCenter URL",
            help="Where the vCenter answers, with or without /sdk. Not an ESXi host of it.",
            type="url",
            is_required=True,
            example="https://vcenter.example.org",
        ),
        Setting(
            name="username",
            label="User name",
            is_required=True,
            example="ocenter@vsphere.local",
            max_length=255,
        ),
        Setting(name="password", label="Password", is_required=True, is_secret=True),
        Setting(
            name="ca_pem",
            label="CA certificate",
            help="The certificate authority of the vCenter in PEM form, when the system does not know it.",
            type="multiline",
            max_length=262_144,
        ),
        Setting(
            name="tls_verify",
            label="Check of the server certificate",
            help="verify: by certificate authority. fingerprint: exactly the certificate below. off: never in "
            "production.",
            type="choice",
            choices=("verify", "fingerprint", "off"),
            default="verify",
        ),
        Setting(
            name="tls_fingerprint",
            label="Certificate fingerprint",
            help="SHA-256 of the server certificate in hex, for the check by fingerprint.",
            example="3f:9a:…",
            max_length=95,
        ),
        Setting(
            name="datastore",
            label="Datastore of new VMs",
            help="Its name. Empty: of those that the host has, the one with the most room.",
            max_length=255,
        ),
        Setting(
            name="template",
            label="Template of new VMs",
            help="Its inventory path. Empty: VMs without a disk, to which somebody gives a system.",
            example="Datacenter/vm/templates/ubuntu-24.04",
            max_length=1024,
        ),
        *TELEMETRY_SETTINGS,
    ),
    modes=(
        Mode(
            name="vgpu",
            grain="node",
            target="vm",
            per="member",
            forms=("profile",),
            label="VM with vGPUs of a profile",
        ),
        Mode(
            name="directpath",
            grain="device",
            target="vm",
            per="member",
            forms=("whole",),
            label="VM with whole cards by DirectPath I/O",
        ),
    ),
    connector="connectors.vsphere.connector:VSphere",
    default_sync_interval_seconds=60,
    capabilities=("observe", "apply", "access", "telemetry", "watch"),
    missing={
        "hold": "vSphere keeps no GPU for a VM that is off; who is switched on first has it.",
        "resize": "vSphere changes the GPUs of a VM only while it is off, so other orders restart it.",
        "power": "ocenter switches no ESXi hosts; other people's VMs run on them.",
    },
)

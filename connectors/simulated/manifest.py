"""What a simulated pool needs and can do."""

from typing import Final

from connectors.contract import Manifest, Mode, Setting

_ALL: Final = ("whole", "profile", "share", "cpu")

MANIFEST = Manifest(
    kind="simulated",
    label="Simulated",
    summary="A fleet that exists only in a file: for the demo, for tests and for trying out ocenter.",
    settings=(
        Setting(
            name="fleet",
            label="Fleet",
            help="Pools with the same fleet name and state folder show the same fleet.",
            default="fleet",
            example="demo-kubernetes",
            max_length=64,
        ),
        Setting(
            name="character",
            label="Character",
            help="Which platform's look the fleet has: names, models, topology, trouble.",
            type="choice",
            choices=("kubernetes", "openstack", "vsphere", "baremetal", "plain"),
            default="plain",
        ),
        Setting(
            name="seed",
            label="Seed",
            help="The same seed makes the same fleet.",
            type="integer",
            default=1,
            minimum=0,
            maximum=2**31 - 1,
        ),
        Setting(name="nodes", label="Nodes", type="integer", default=8, minimum=0, maximum=200_000),
        Setting(
            name="devices_per_node",
            label="Devices per node",
            type="integer",
            default=8,
            minimum=0,
            maximum=64,
        ),
        Setting(
            name="models",
            label="Models",
            help="Names of models, with commas between. Empty: the mix of the character.",
            example="H100-SXM-80GB, Ascend 910B3",
        ),
        Setting(
            name="used_percent",
            label="Devices in use (%)",
            help="By users of the platform that ocenter does not know: shadow use.",
            type="integer",
            default=0,
            minimum=0,
            maximum=100,
        ),
        Setting(
            name="has_trouble",
            label="With trouble",
            help="Faulty and unknown devices, cordoned nodes, foreign use.",
            type="boolean",
            default=False,
        ),
        Setting(
            name="page_size",
            label="Nodes per page",
            type="integer",
            default=250,
            minimum=1,
            maximum=500,
        ),
        Setting(
            name="is_incremental",
            label="Tells changes only",
            help="Where it can, an observation shows only what changed since the one before.",
            type="boolean",
            default=False,
        ),
        Setting(
            name="latency_ms",
            label="Latency per call (ms)",
            help="So long each call takes. With 0 nothing is asked of it: what is claimed is had at once.",
            type="integer",
            default=0,
            minimum=0,
            maximum=600_000,
        ),
        Setting(
            name="state_folder",
            label="State folder",
            help="An existing folder in which the fleet remembers. Empty: it forgets at the end of each session.",
        ),
        Setting(
            name="token",
            label="Token",
            help='Any text. One that begins with "wrong" or "expired" is refused, to show what happens then.',
            is_secret=True,
        ),
    ),
    modes=(
        Mode(name="device", grain="device", target="host", per="node", forms=_ALL, label="Single devices"),
        Mode(name="node", grain="node", target="vm", per="member", forms=_ALL, label="Devices on a node"),
        Mode(
            name="pool", grain="pool", target="namespace", per="allocation", forms=_ALL[:3], label="Quota of the pool"
        ),
    ),
    connector="connectors.simulated.connector:Simulated",
    default_sync_interval_seconds=60,
    capabilities=("observe", "apply", "hold", "power", "telemetry", "watch", "resize", "access"),
    is_simulation=True,
)

"""What a Kubernetes pool needs and can do, told without importing anything that talks to a cluster."""

from connectors.contract import Manifest, Mode, Setting
from connectors.telemetry.settings import TELEMETRY_SETTINGS

SETTINGS = (
    Setting(
        name="api_url",
        label="API server URL",
        help="Where the API server answers. Leave it empty when a kubeconfig tells it, or inside the cluster itself.",
        type="url",
        example="https://10.0.0.10:6443",
    ),
    Setting(
        name="kubeconfig",
        label="Kubeconfig",
        help=(
            "A kubeconfig with a token or a client certificate inside it. Log-in plugins (exec, auth-provider) and "
            "paths to files are refused: create a service account and use its token."
        ),
        type="multiline",
        is_secret=True,
        max_length=262_144,
    ),
    Setting(
        name="context",
        label="Context",
        help="Which context of the kubeconfig to use. Empty: its current context.",
    ),
    Setting(
        name="token",
        label="Token",
        help="A bearer token of a service account, instead of a kubeconfig or in place of the one inside it.",
        type="multiline",
        is_secret=True,
        max_length=65_536,
    ),
    Setting(
        name="ca_pem",
        label="CA certificate",
        help="The certificate authority of the API server in PEM form, when the system does not know it.",
        type="multiline",
        max_length=262_144,
    ),
    Setting(
        name="tls_verify",
        label="Check of the server certificate",
        help="verify: by certificate authority. fingerprint: exactly the certificate below. off: never in production.",
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
        name="proxy_url",
        label="Proxy URL",
        help="An HTTP proxy that leads to the API server.",
        type="url",
        example="http://proxy.example:3128",
    ),
    Setting(
        name="in_cluster",
        label="ocenter runs inside this cluster",
        help="Use the service account of the pod in which the ocenter worker runs.",
        type="boolean",
        default=False,
    ),
    Setting(
        name="compress",
        label="Compressed answers",
        help="Saves nine tenths of the traffic and costs the API server time. For clusters behind a slow line.",
        type="boolean",
        default=False,
    ),
    Setting(
        name="on_conflict",
        label="When others change what ocenter set",
        help="report: the allocation needs attention and says who did it. repair: ocenter sets it again.",
        type="choice",
        choices=("report", "repair"),
        default="report",
    ),
    Setting(
        name="page_size",
        label="Objects per page",
        help="How many objects one list call asks for.",
        type="integer",
        default=500,
        minimum=10,
        maximum=500,
    ),
)

MANIFEST = Manifest(
    kind="kubernetes",
    label="Kubernetes",
    summary="Accelerators of a Kubernetes cluster: device plugins, MIG, HAMi, Volcano vGPU, Ascend and DRA.",
    settings=(*SETTINGS, *TELEMETRY_SETTINGS),
    modes=(
        Mode(
            name="quota",
            grain="pool",
            target="namespace",
            per="allocation",
            forms=("whole", "profile"),
            label="Namespace with a resource quota",
        ),
        Mode(
            name="kueue",
            grain="pool",
            target="namespace",
            per="allocation",
            forms=("whole", "profile"),
            label="Namespace with a quota for each model by Kueue",
        ),
    ),
    connector="connectors.kubernetes.connector:Kubernetes",
    default_sync_interval_seconds=60,
    capabilities=("observe", "apply", "resize", "access", "telemetry", "watch"),
    missing={
        "hold": "A quota is a limit; the Kubernetes API keeps no capacity for anybody.",
        "power": "The Kubernetes API cannot switch hosts.",
    },
)

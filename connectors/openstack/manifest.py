"""What an OpenStack pool needs and can do, told without loading keystoneauth."""

from connectors.contract import Manifest, Mode, Setting

_NAME_OR_ID = "Its name, or its id (32 hex digits, or: default)."

MANIFEST = Manifest(
    kind="openstack",
    label="OpenStack",
    summary="Accelerators of Cyborg and Nova, counted by Placement",
    settings=(
        Setting(
            name="auth_url",
            label="Keystone URL",
            help="The identity service, with or without /v3. Leave it empty when clouds.yaml says it.",
            type="url",
            example="https://keystone.example.org:5000/v3",
        ),
        Setting(
            name="region",
            label="Region",
            help="Needed where the catalog has more than one region.",
            example="RegionOne",
            max_length=255,
        ),
        Setting(
            name="interface",
            label="Endpoint interface",
            help="Which endpoints of the catalog to call; public when neither this nor clouds.yaml says so.",
            type="choice",
            choices=("public", "internal", "admin"),
        ),
        Setting(
            name="auth_type",
            label="Log in with",
            help="A user's password, an application credential, or what clouds.yaml says.",
            type="choice",
            choices=("password", "application_credential", "clouds_yaml"),
            default="password",
        ),
        Setting(name="username", label="User name", max_length=255),
        Setting(name="user_domain", label="User domain", help=_NAME_OR_ID, default="Default", max_length=255),
        Setting(
            name="project_name",
            label="Project",
            help="The project in which the user has the role that Placement asks for.",
            max_length=255,
        ),
        Setting(name="project_domain", label="Project domain", help=_NAME_OR_ID, default="Default", max_length=255),
        Setting(name="password", label="Password", is_secret=True),
        Setting(name="application_credential_id", label="Application credential id", max_length=255),
        Setting(name="application_credential_secret", label="Application credential secret", is_secret=True),
        Setting(
            name="clouds_yaml",
            label="clouds.yaml",
            help="The whole file. Its values stand where no field above says otherwise.",
            type="multiline",
            is_secret=True,
            max_length=262144,
        ),
        Setting(name="cloud", label="Cloud in clouds.yaml", help="Needed when the file has several.", max_length=255),
        Setting(
            name="ca_pem",
            label="CA certificates (PEM)",
            help="Trusted instead of the system's, for Keystone and all other services.",
            type="multiline",
            max_length=262144,
        ),
        Setting(
            name="tls_fingerprint",
            label="TLS certificate fingerprint (SHA-256)",
            help="All services must show exactly this certificate; CA and host name are then not asked.",
            max_length=128,
        ),
        Setting(
            name="tls_verify",
            label="TLS check",
            help="Insecure lets anyone on the way read the credential and forge answers. Only for a laboratory.",
            type="choice",
            choices=("verify", "insecure"),
            default="verify",
        ),
        Setting(
            name="delivery_project_id",
            label="Project that gets the cards (id)",
            help="Whose use deliveries are in Placement and Cyborg; the credential's own project when empty.",
            max_length=64,
        ),
        Setting(
            name="server_image",
            label="Image of servers (id)",
            help="Needed to deliver servers; the credential's project gets them.",
            max_length=64,
        ),
        Setting(
            name="server_network",
            label="Network of servers (id)",
            help="Its id, or: none.",
            default="none",
            max_length=64,
        ),
        Setting(
            name="server_disk_gib", label="Disk of servers (GiB)", type="integer", default=10, minimum=1, maximum=10000
        ),
        Setting(
            name="request_timeout_seconds",
            label="Request timeout (s)",
            help="Cyborg reads its whole list in one request: 500 devices take 6 seconds and more.",
            type="integer",
            default=90,
            minimum=60,
            maximum=600,
        ),
    ),
    modes=(
        Mode(
            name="placement",
            grain="device",
            target="consumer",
            per="member",
            forms=("whole", "profile"),
            label="Placement allocation, then Cyborg binding",
        ),
        Mode(
            name="nova",
            grain="node",
            target="server",
            per="member",
            forms=("whole", "profile"),
            label="Server of Nova with its cards",
        ),
    ),
    connector="connectors.openstack.connector:OpenStack",
    default_sync_interval_seconds=60,
    observe_seconds=900,  # one request to Cyborg may take ten minutes of it
    capabilities=("observe", "apply", "hold", "access"),
    missing={
        "power": "Cyborg and Nova do not switch hosts; that is Ironic's or the host's own controller's work.",
        "telemetry": "No OpenStack service tells utilisation, temperature or memory of a card.",
        "resize": "Nova cannot resize a server that has accelerators, and a binding is made once.",
    },
)

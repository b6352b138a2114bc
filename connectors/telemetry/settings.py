"""The settings by which a pool names its exporters; every kind whose platform tells no readings itself may add them."""

from connectors.contract import Setting

TELEMETRY_SETTINGS = (
    Setting(
        name="prometheus_url",
        label="Prometheus URL",
        help="A Prometheus that already scrapes this pool's DCGM exporter, npu-exporter or nvidia_gpu_exporter.",
        type="url",
        example="https://prometheus.example.org",
    ),
    Setting(
        name="exporter_urls",
        label="Exporter URLs",
        help="Addresses of exporters that ocenter reads itself, one a line. Needs no Prometheus.",
        type="multiline",
        max_length=65_536,
        example="http://10.0.0.1:9400/metrics",
    ),
    Setting(
        name="telemetry_ca_pem",
        label="CA certificate of Prometheus and exporters",
        help="In PEM form, when the system does not know it.",
        type="multiline",
        max_length=262_144,
    ),
    Setting(
        name="prometheus_token",
        label="Prometheus token",
        help="A bearer token for Prometheus. Exporters never get it.",
        type="multiline",
        is_secret=True,
        max_length=65_536,
    ),
)

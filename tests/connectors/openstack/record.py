"""Records answers of a real OpenStack for the double. Run it by hand, never in tests:

    python -m tests.connectors.openstack.record URL PASSWORD idle       # as it is
    python -m tests.connectors.openstack.record URL PASSWORD forbidden  # as a project user
    python -m tests.connectors.openstack.record URL PASSWORD busy       # a trouble of every sort; needs Nova

The last one makes servers, allocations and providers, and removes them again. Tokens and passwords are never in a
body, and headers are not kept.
"""

import json
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from keystoneauth1.identity import v3
from keystoneauth1.service_token import ServiceTokenAuthWrapper
from keystoneauth1.session import Session

from connectors.contract import ConnectorError
from connectors.openstack import reading
from connectors.openstack.client import Cloud
from connectors.openstack.connector import OpenStack
from connectors.openstack.login import read
from tests.connectors.server import LOOPBACK

RECORDED = Path(__file__).parent / "recorded"
IMAGE = "11111111-2222-3333-4444-555555555555"
OURS = "oc-abcdefghij234567abcd"
CONSUMER_HOLD, CONSUMER_LEAK, CONSUMER_BEHIND, CONSUMER_HOST = (str(uuid.UUID(int=n)) for n in (1, 2, 3, 4))
PROJECT, USER = "5" * 32, "6" * 32


# --- what is written down ---------------------------------------------------------------------------------------------


@contextmanager
def recording(name: str) -> Iterator[None]:
    """Keep every exchange of the block in one file, with the addresses of the services made neutral."""
    exchanges: list[dict[str, Any]] = []
    catalog: dict[str, str] = {}
    real = httpx.Client.send

    def send(client: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        response = real(client, request, **more)
        body = response.read()
        answer = json.loads(body) if body else None
        if request.url.path.endswith("/auth/tokens") and isinstance(answer, dict) and "token" in answer:
            for service in answer["token"]["catalog"]:
                catalog[service["type"]] = service["endpoints"][0]["url"]
        exchanges.append(
            {
                "method": request.method,
                "url": str(request.url),
                "version": request.headers.get("OpenStack-API-Version", ""),
                "status": response.status_code,
                "body": answer,
            }
        )
        return response

    httpx.Client.send = send  # type: ignore[assignment]  # for the time of the block
    try:
        yield
    finally:
        httpx.Client.send = real  # type: ignore[method-assign]
    lines = dict.fromkeys(_neutral(json.dumps(exchange, sort_keys=True), catalog) for exchange in exchanges)
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def _neutral(line: str, catalog: dict[str, str]) -> str:
    """Write ``{base}/SERVICE`` for the address of a service."""
    for service, url in sorted(catalog.items(), key=lambda item: -len(item[1])):
        line = line.replace(url, f"{{base}}/{service}{'/v2' if service == 'accelerator' else ''}")
    hosts = {urlsplit(url).netloc for url in catalog.values()}
    for host in hosts:
        line = line.replace(f"http://{host}", "{base}/links")
    return line


def observe(settings: dict[str, str], password: str) -> None:
    """Ask everything that the connector asks, and what older clouds and mistakes would be told."""
    connector = OpenStack(settings, {"password": password}, LOOPBACK)
    try:
        connector.check()
        list(connector.observe(None))
    except ConnectorError as error:
        print(error.code, error)
    cloud = Cloud(read(settings, {"password": password}), LOOPBACK)
    for service, path, version in (
        ("accelerator", "/devices", "2.0"),
        ("accelerator", "/devices", "2.9"),
        ("accelerator", "/devices?limit=5", "2.3"),
        ("accelerator", "/nothing", "2.3"),
        ("placement", "/resource_providers", "1.99"),
        *(("placement", reading.candidates(name), "1.29") for name in ("MEMORY_MB", "VCPU", "DISK_GB")),
    ):
        try:
            cloud.get(service, path, dict, versions=(version,))
        except ConnectorError as error:
            print(error.code, error.platform_words)
    for provider in reading.look(cloud).providers.values() if settings["username"] == "admin" else ():
        for what in ("inventories", "usages", "traits", "allocations"):
            cloud.get("placement", f"/resource_providers/{provider.uuid}/{what}", dict, versions=reading.PLACEMENT)


# --- a cloud with a trouble of every sort -----------------------------------------------------------------------------


def password_of(url: str, user: str, project: str, password: str) -> v3.Password:
    """Return the log-in of a user in the default domain."""
    return v3.Password(
        url,
        username=user,
        password=password,
        user_domain_id="default",
        project_name=project,
        project_domain_id="default",
    )


class Lab:
    """Makes things in a cloud and removes them in the opposite order."""

    def __init__(self, url: str, password: str) -> None:
        self.admin = password_of(url, "admin", "admin", password)
        self.service = password_of(url, "federation", "service", password)
        self.session = Session(auth=self.admin)
        self.undo: list[tuple[str, str, str, Any]] = []
        self.bound: tuple[Session, str] | None = None

    def call(self, service: str, method: str, path: str, body: Any = None, *, fails: bool = False) -> Any:
        version = {"placement": "1.38", "accelerator": "2.3", "compute": "2.90"}[service]
        answer = self.session.request(
            path,
            method,
            json=body,
            endpoint_filter={"service_type": service},
            microversion=version,
            headers={"Accept": "application/json"},
            raise_exc=not fails,
        )
        return answer.json() if answer.content else None

    def made(self, service: str, method: str, path: str, body: Any, *, undo: tuple[str, str], **more: Any) -> Any:
        self.undo.append((service, *undo, None))
        return self.call(service, method, path, body, **more)

    def clean(self) -> None:
        if self.bound:
            session, path = self.bound
            session.delete(path, endpoint_filter={"service_type": "accelerator"}, microversion="2.3", raise_exc=False)
        for service, method, path, body in reversed(self.undo):
            self.call(service, method, path, body, fails=True)
            time.sleep(1)

    def providers(self) -> dict[str, str]:
        found = self.call("placement", "GET", "/resource_providers")["resource_providers"]
        return {each["name"]: each["uuid"] for each in found}

    def allocate(self, consumer: str, resources: dict[str, dict[str, int]], consumer_type: str) -> None:
        body = {
            "allocations": {provider: {"resources": amounts} for provider, amounts in resources.items()},
            "consumer_generation": None,
            "project_id": PROJECT,
            "user_id": USER,
            "consumer_type": consumer_type,
        }
        path = f"/allocations/{consumer}"
        self.made("placement", "PUT", path, body, undo=("DELETE", path))

    def provider(self, number: int, name: str, parent: str, inventory: dict[str, Any], traits: list[str]) -> str:
        """Make a provider as Nova does for a card that it manages itself."""
        ref = str(uuid.UUID(int=number))
        path = f"/resource_providers/{ref}"
        body = {"name": name, "uuid": ref, "parent_provider_uuid": parent}
        self.made("placement", "POST", "/resource_providers", body, undo=("DELETE", path))
        for resource_class in inventory:
            if resource_class.startswith("CUSTOM_"):
                self.call("placement", "PUT", f"/resource_classes/{resource_class}")
        for trait in traits:
            if trait.startswith("CUSTOM_"):
                self.call("placement", "PUT", f"/traits/{trait}")
        put = {"resource_provider_generation": 0, "inventories": inventory}
        generation = self.call("placement", "PUT", f"{path}/inventories", put)["resource_provider_generation"]
        self.call("placement", "PUT", f"{path}/traits", {"resource_provider_generation": generation, "traits": traits})
        return ref


def make_trouble(lab: Lab, prefix: str) -> None:
    """Servers, a hold, a leak, a bind behind Placement's back, vGPUs, maintenance, a full host, Nova's own cards."""
    rps = lab.providers()
    for name, traits in (("h100", "2330"), ("t4-2q", "1EB8_T4_2Q")):
        resource = "VGPU" if "2Q" in traits else "PGPU"
        group = {f"resources:{resource}": "1", f"trait:CUSTOM_NVIDIA_{traits}": "required"}
        body = [{"name": name, "groups": [group]}]
        lab.made("accelerator", "POST", "/device_profiles", body, undo=("DELETE", f"/device_profiles?value={name}"))
    server(lab, OURS, "h100")
    server(lab, "tenant-vm", "h100")
    lab.allocate(CONSUMER_HOLD, {rps[f"{prefix}-002_0000:10:00.0"]: {"PGPU": 1}}, "OCENTER")
    lab.allocate(CONSUMER_LEAK, {rps[f"{prefix}-002_0000:14:00.0"]: {"PGPU": 1}}, "SCRIPT")
    whole = {"MEMORY_MB": 799488, "VCPU": 1000, "DISK_GB": 600000}
    some = {"MEMORY_MB": 1048576}
    lab.allocate(CONSUMER_HOST, {rps[f"{prefix}-004"]: whole, rps[f"{prefix}-v001"]: some}, "INSTANCE")
    vgpus = {rps[f"{prefix}-v001_0000:10:00.0"]: {"VGPU": 3}}
    lab.allocate(str(uuid.UUID(int=5)), vgpus, "OCENTER")
    bind(lab, CONSUMER_BEHIND, f"{prefix}-003", rps[f"{prefix}-003_0000:10:00.0"])
    device = next(
        each for each in lab.call("accelerator", "GET", "/devices")["devices"] if each["hostname"] == f"{prefix}-002"
    )
    path = f"/devices/{device['uuid']}"
    lab.made("accelerator", "POST", f"{path}/disable", None, undo=("POST", f"{path}/enable"))
    service = next(
        each for each in lab.call("compute", "GET", "/os-services")["services"] if each["host"] == f"{prefix}-003"
    )
    put = {"status": "disabled", "disabled_reason": "new fans"}
    lab.call("compute", "PUT", f"/os-services/{service['id']}", put)
    lab.undo.append(("compute", "PUT", f"/os-services/{service['id']}", {"status": "enabled"}))
    novas_own_cards(lab, prefix, rps)


def novas_own_cards(lab: Lab, prefix: str, rps: dict[str, str]) -> None:
    """Providers with the names, classes and traits that Nova gives (pci_placement_translator.py, libvirt/driver.py)."""
    managed = "COMPUTE_MANAGED_PCI_DEVICE"
    one = {"total": 1, "max_unit": 1}
    pci = {"CUSTOM_PCI_10DE_26B9": one}
    first = lab.provider(11, f"{prefix}-001_0000:81:00.0", rps[f"{prefix}-001"], pci, [managed])
    lab.provider(12, f"{prefix}-001_0000:82:00.0", rps[f"{prefix}-001"], pci, [managed])
    lab.provider(13, f"{prefix}-001_0000:83:00.0", rps[f"{prefix}-001"], {"CUSTOM_PCI_15B3_101D": one}, [managed])
    vgpu = {"VGPU": {"total": 4, "max_unit": 4}}
    slots = lab.provider(14, f"{prefix}-001_pci_0000_84_00_0", rps[f"{prefix}-001"], vgpu, [])
    lab.provider(15, f"{prefix}-004_0000:85:00.0", rps[f"{prefix}-004"], {"CUSTOM_PCI_1002_74A1": one}, [managed])
    reserved = {"CUSTOM_PCI_10DE_2330": {**one, "reserved": 1}}
    lab.provider(16, f"{prefix}-001_0000:86:00.0", rps[f"{prefix}-001"], reserved, [managed])
    lab.allocate(str(uuid.UUID(int=6)), {first: {"CUSTOM_PCI_10DE_26B9": 1}, slots: {"VGPU": 1}}, "INSTANCE")


def server(lab: Lab, name: str, profile: str) -> None:
    """Boot a server with a device profile and wait until it is active."""
    flavor = {"name": f"flavor-{name}", "id": f"flavor-{name}", "ram": 512, "vcpus": 1, "disk": 1}
    lab.made("compute", "POST", "/flavors", {"flavor": flavor}, undo=("DELETE", f"/flavors/{flavor['id']}"))
    specs = {"extra_specs": {"accel:device_profile": profile}}
    lab.call("compute", "POST", f"/flavors/{flavor['id']}/os-extra_specs", specs)
    body = {"name": name, "imageRef": IMAGE, "flavorRef": flavor["id"], "networks": "none"}
    ref = lab.call("compute", "POST", "/servers", {"server": body})["server"]["id"]
    lab.undo.append(("compute", "DELETE", f"/servers/{ref}", None))
    for _ in range(60):
        state = lab.call("compute", "GET", f"/servers/{ref}")["server"]["status"]
        if state != "BUILD":
            print(name, state)
            return
        time.sleep(1)


def bind(lab: Lab, consumer: str, host: str, provider: str) -> None:
    """Bind a request without an allocation. With a real Nova the answer is 400, and it is bound all the same."""
    arq = lab.call("accelerator", "POST", "/accelerator_requests", {"device_profile_name": "h100"})["arqs"][0]["uuid"]
    fields = (("hostname", host), ("device_rp_uuid", provider), ("instance_uuid", consumer))
    patch = {arq: [{"path": f"/{name}", "op": "add", "value": value} for name, value in fields]}
    both = Session(auth=ServiceTokenAuthWrapper(user_auth=lab.admin, service_auth=lab.service))
    where = {"service_type": "accelerator"}
    both.patch("/accelerator_requests", json=patch, endpoint_filter=where, microversion="2.3", raise_exc=False)
    time.sleep(3)
    state = lab.call("accelerator", "GET", f"/accelerator_requests/{arq}")
    print("bound behind placement's back:", state.get("state"))
    lab.bound = (both, f"/accelerator_requests?instance={consumer}")


def main(url: str, password: str, what: str) -> None:
    """Record one of the three."""
    user, project = ("research-reader", "research") if what == "forbidden" else ("admin", "admin")
    settings = {"auth_url": url, "username": user, "project_name": project}
    lab = Lab(url, password)
    try:
        if what == "busy":
            host = next(name for name in lab.providers() if name.endswith("-001"))
            make_trouble(lab, host.removesuffix("-001"))
        with recording(what):
            observe(settings, password)
    finally:
        lab.clean()


if __name__ == "__main__":
    main(*sys.argv[1:])

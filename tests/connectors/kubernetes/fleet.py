"""Clusters made of recorded objects: small ones by name for tests, large ones of every vendor style for the bench."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

from tests.connectors.kubernetes.double import Object, recorded

STYLES = (
    "h100",
    "h20",
    "amd",
    "ascend",
    "migmix",
    "hamijs",
    "shared",
    "dra",
    "hami",
    "mlu",
    "vgpu",
    "migsingle",
    "misc",
)
POD_OF_STYLE = {
    "ascend": "pod_ascend",
    "migmix": "pod_mig",
    "hamijs": "pod_hami",
    "hami": "pod_hami",
    "dra": "pod_dra",
    "vgpu": "pod_volcano_vgpu",
}
PLAIN_RESOURCE = {
    "amd": "amd.com/gpu",
    "mlu": "cambricon.com/mlu",
    "misc": "habana.ai/gaudi",
}


def made_up_uid(text: str) -> str:
    """The same uid for the same text, always."""
    return str(uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest()))


def node(style: str, number: int = 0, **status: Any) -> Object:
    """A node of a style under a name and uid of its own. ``status`` overrides capacity or allocatable by resource."""
    item: Object = recorded(f"node_{style}")
    was = item["metadata"]["name"]
    item["metadata"]["name"] = name = f"gpu-{style}-{number:05}"
    item["metadata"]["uid"] = made_up_uid(name)
    item["status"]["nodeInfo"]["systemUUID"] = made_up_uid(f"system {name}")
    item["metadata"]["labels"]["kubernetes.io/hostname"] = name
    for key, text in item["metadata"]["annotations"].items():
        if "register" in key:
            item["metadata"]["annotations"][key] = text.replace("GPU-", f"GPU-{number:05}-{was[-5:]}-")
    for part, amounts in status.items():
        item["status"][part] = {**item["status"][part], **amounts}
    return item


def pod(node_name: str, number: int = 0, template: str = "pod_running", **requests: str) -> Object:
    """A pod bound to a node. ``requests`` replace what its first container asks for, ``nvidia_com__gpu`` as a name."""
    item: Object = recorded(template)
    meta = item["metadata"]
    meta["name"], meta["uid"] = f"train-{node_name}-{number}", made_up_uid(f"pod {node_name} {number}")
    item["spec"]["nodeName"] = node_name
    if requests:
        asked = {name.replace("__", "/").replace("_", "."): text for name, text in requests.items()}
        item["spec"]["containers"][0]["resources"] = {"requests": asked, "limits": asked}
    return item


def plain_pod(node_name: str, number: int, resource: str, count: int) -> Object:
    """A pod that asks for whole cards."""
    item = pod(node_name, number)
    asked = {"cpu": "8", "memory": "64Gi", resource: str(count)}
    item["spec"]["containers"][0]["resources"] = {"requests": asked, "limits": asked}
    return item


def resource_slice(node_name: str) -> Object:
    """The slice of a DRA node with eight cards."""
    item: Object = recorded("resourceslicelist")["items"][0]
    item["metadata"].update(name=f"{node_name}-gpu.nvidia.com-0", uid=made_up_uid(f"slice {node_name}"))
    item["spec"]["nodeName"] = item["spec"]["pool"]["name"] = node_name
    for device in item["spec"]["devices"]:
        device["attributes"]["uuid"]["string"] = f"GPU-{made_up_uid(node_name + device['name'])}"
    return item


def claim(node_name: str, holder: Object, device: str = "gpu-0") -> Object:
    """A claim that gives a pod one device of a DRA node."""
    item: Object = recorded("resourceclaimlist")["items"][2]
    meta = holder["metadata"]
    item["metadata"].update(
        name=f"{meta['name']}-gpu", namespace=meta["namespace"], uid=made_up_uid(f"claim {meta['uid']}")
    )
    item["status"]["allocation"]["devices"]["results"][0].update(pool=node_name, device=device)
    item["status"]["reservedFor"][0].update(name=meta["name"], uid=meta["uid"])
    return item


def bench_objects(nodes: int, pods_per_node: int) -> Iterator[tuple[str, Object]]:
    """Kind and object of a large cluster: every style in turn, with the images and field owners of real nodes."""
    from_start = {style: node(style) for style in STYLES}
    images = [{"names": [f"registry.example/team/image-{at}@sha256:{at:064}"], "sizeBytes": at} for at in range(50)]
    for style in STYLES:
        from_start[style]["status"]["images"] = images
    for number in range(nodes):
        style = STYLES[number % len(STYLES)]
        item = node(style, number)
        item["status"]["images"] = images
        name = item["metadata"]["name"]
        yield "nodes", item
        if style == "dra":
            yield "slices", resource_slice(name)
        for at in range(pods_per_node):
            if style in POD_OF_STYLE:
                bound = pod(name, at, POD_OF_STYLE[style])
                if style in ("hami", "hamijs"):
                    _place_by_hami(bound, item)
            else:
                bound = plain_pod(name, at, PLAIN_RESOURCE.get(style, "nvidia.com/gpu"), 2)
            yield "pods", bound
            if style == "dra":
                yield "claims", claim(name, bound, f"gpu-{at}")


def _place_by_hami(bound: Object, on: Object) -> None:
    text = on["metadata"]["annotations"]["hami.io/node-nvidia-register"]
    uuid_ = json.loads(text)[0]["id"] if text.startswith("[") else text.partition(",")[0]
    bound["metadata"]["annotations"]["hami.io/vgpu-devices-allocated"] = f"{uuid_},NVIDIA,8192,25:;"

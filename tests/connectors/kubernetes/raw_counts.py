"""What recorded objects hold, counted from their raw JSON by other ways than the connector's."""

from tests.connectors.kubernetes.double import recorded

CLAIM_FILE = "resourceclaim_allocated_by_scheduler"
NOT_COUNTED = ("cpu", "memory", "gpumem", "gpucores", "vgpu-memory", "vgpu-cores")


def labels(node):
    return node["metadata"].get("labels", {})


def registers(node):
    """What HAMi's and Volcano's agents write of a node's cards, in any of their forms."""
    return "".join(text for key, text in node["metadata"].get("annotations", {}).items() if key.endswith("register"))


def plain_resources(amounts):
    return {name: int(text) for name, text in amounts.items() if "/" in name and "mig-" not in name}


def is_cut_alike(node):
    return "-MIG-" in labels(node).get("nvidia.com/gpu.product", "")


def slices_of(name):
    return [piece for piece in recorded("resourceslicelist")["items"] if piece["spec"].get("nodeName") == name]


def cards_of(node):
    """How many cards a node has, by what its agents say: uuids, slices, the label, else the plugin's count."""
    if text := registers(node):
        return text.count("GPU-")
    if pieces := slices_of(node["metadata"]["name"]):
        return sum(len(piece["spec"]["devices"]) for piece in pieces)
    if is_cut_alike(node):
        return 0
    return int(labels(node).get("nvidia.com/gpu.count", 0)) or sum(plain_resources(node["status"]["capacity"]).values())


def units_of(node):
    """Units that only counters hold: MIG instances and replicas."""
    counts = {name: int(text) for name, text in node["status"]["capacity"].items() if "nvidia.com/mig-" in name}
    if is_cut_alike(node) or int(labels(node).get("nvidia.com/gpu.replicas", 1)) > 1:
        counts["nvidia.com/gpu"] = int(node["status"]["capacity"]["nvidia.com/gpu"])
    return counts


def sick_of(node):
    offered = plain_resources(node["status"]["allocatable"])
    withdrawn = sum(count - offered[name] for name, count in plain_resources(node["status"]["capacity"]).items())
    return registers(node).count("false") + withdrawn


def claims():
    every = [*recorded("resourceclaimlist")["items"], recorded(CLAIM_FILE)]
    return list({claim["metadata"]["uid"]: claim for claim in every}.values())


def results_of(claim):
    return [(each["pool"], each["device"]) for each in claim["status"]["allocation"]["devices"]["results"]]


def is_counted(resource):
    return resource.rpartition("/")[2] not in NOT_COUNTED


def units_asked(containers):
    requests = [container.get("resources", {}).get("requests", {}) for container in containers]
    return sum(int(text) for each in requests for name, text in each.items() if is_counted(name))


def units_held_by(pod):
    """How many cards or parts a pod holds: by its claims, else the most it asks for at one time."""
    if not pod["spec"].get("nodeName") or pod["status"]["phase"] in ("Succeeded", "Failed"):
        return 0
    uid = pod["metadata"]["uid"]
    mine = [claim for claim in claims() if any(user["uid"] == uid for user in claim["status"].get("reservedFor", ()))]
    if mine:
        return sum(len(results_of(claim)) for claim in mine)
    main = units_asked(pod["spec"]["containers"])
    return max([main, *(units_asked([container]) for container in pod["spec"].get("initContainers", ()))])

"""A node: its state, what it has and what its pods take of it."""

from __future__ import annotations

from apimachinery.podspec import resources
from apimachinery.quantity import Quantity
from apimachinery.table import ages
from skiff.ctl.describe.around import JSON, Around
from skiff.ctl.describe.pieces import NONE, conditions, events, head, time

_ROLE = "node-role.kubernetes.io/"
_FIELDS = ("Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
_INFO = (
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
)
Amounts = dict[str, int]


def lines(obj: JSON, around: Around) -> list[str]:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    roles = [key.removeprefix(_ROLE) for key in sorted(metadata.get("labels") or {}) if key.startswith(_ROLE)]
    top = head(obj, namespaced=False)
    found = [top[0], f"Roles:\t{','.join(roles) or NONE}", *top[1:]]
    found.append(f"CreationTimestamp:\t{time(metadata.get('creationTimestamp'))}")
    taints = [
        f"{one['key']}{'=' + one['value'] if one.get('value') else ''}:{one['effect']}"
        for one in spec.get("taints") or ()
    ]
    found += [f"Taints:\t{(taints or [NONE])[0]}", *(f"\t{taint}" for taint in taints[1:])]
    found.append(f"Unschedulable:\t{str(spec.get('unschedulable', False)).lower()}")
    if around.lease is not None:
        lease = around.lease["spec"]
        found += ["Lease:", f"  HolderIdentity:\t{lease.get('holderIdentity', '<unset>')}"]
        found += [f"  {name}:\t{time(lease.get(name[0].lower() + name[1:]))}" for name in ("AcquireTime", "RenewTime")]
    found += conditions(status.get("conditions"), _FIELDS)
    found.append("Addresses:")
    found += [f"  {one['type']}:\t{one['address']}" for one in status.get("addresses") or ()]
    for key in ("capacity", "allocatable"):
        if status.get(key):
            found.append(f"{key.capitalize()}:")
            found += [f"  {name}:\t{status[key][name]}" for name in sorted(status[key])]
    info = status.get("nodeInfo") or {}
    found += ["System Info:", *(f"  {title}:\t{info.get(key, '')}" for title, key in _INFO)]
    if spec.get("podCIDR"):
        found += [f"PodCIDR:\t{spec['podCIDR']}", f"PodCIDRs:\t{','.join(spec.get('podCIDRs') or ())}"]
    if spec.get("providerID"):
        found.append(f"ProviderID:\t{spec['providerID']}")
    if around.pods is not None:
        found += _usage(around.pods, status.get("allocatable") or status.get("capacity") or {}, around.now)
    return found + events(around.events, around.now)


def _milli(amounts: dict[str, Quantity]) -> Amounts:
    return {name: amount.milli_value() for name, amount in amounts.items()}


def _usage(pods: list[JSON], allocatable: dict[str, str], now: float) -> list[str]:
    have = {name: Quantity.parse(str(text)).milli_value() for name, text in allocatable.items()}
    found = [f"Non-terminated Pods:\t({len(pods)} in total)"]
    found.append("  Namespace\tName\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge")
    found.append("  ---------\t----\t------------\t----------\t---------------\t-------------\t---")
    sums: tuple[Amounts, Amounts] = ({}, {})
    for pod in pods:
        kinds = (_milli(resources.requests(pod)), _milli(resources.limits(pod)))
        cells = [_share(name, kind.get(name, 0), have.get(name, 0)) for name in ("cpu", "memory") for kind in kinds]
        metadata = pod["metadata"]
        found.append("  " + "\t".join([metadata["namespace"], metadata["name"], *cells, ages.of(pod, now)]))
        for total, kind in zip(sums, kinds, strict=True):
            for name, amount in kind.items():
                total[name] = total.get(name, 0) + amount
    found += ["Allocated resources:", "  (Total limits may be over 100 percent, i.e., overcommitted.)"]
    found += ["  Resource\tRequests\tLimits", "  --------\t--------\t------"]
    names = ["cpu", "memory", "ephemeral-storage", *sorted(set(have) - {"cpu", "memory", "ephemeral-storage", "pods"})]
    for name in names:
        shares = "\t".join(_share(name, total.get(name, 0), have.get(name, 0)) for total in sums)
        found.append(f"  {name}\t{shares}")
    return found


def _share(name: str, milli: int, of: int) -> str:
    """`250m (12%)`, `64Mi (1%)`."""
    percent = milli * 100 // of if of else 0
    if name == "cpu":
        return f"{f'{milli}m' if milli % 1000 else milli // 1000} ({percent}%)"
    amount = milli // 1000
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if amount and amount % size == 0:
            return f"{amount // size}{unit} ({percent}%)"
    return f"{amount} ({percent}%)"

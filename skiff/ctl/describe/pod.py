"""A pod: where it is, its containers and why they are as they are."""

from __future__ import annotations

from apimachinery.podspec.qos import qos_class
from skiff.ctl.describe.around import JSON, Around
from skiff.ctl.describe.pieces import NONE, events, notes, pairs, time, words
from skiff.ctl.describe.template import containers, tolerations, volumes


def lines(pod: JSON, around: Around) -> list[str]:
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    host = f"/{status['hostIP']}" if status.get("hostIP") else "/"
    found = [f"Name:\t{metadata['name']}", f"Namespace:\t{metadata['namespace']}"]
    if spec.get("priority") is not None:
        found.append(f"Priority:\t{spec['priority']}")
    for key, title in (("priorityClassName", "Priority Class Name"), ("runtimeClassName", "Runtime Class Name")):
        if spec.get(key):
            found.append(f"{title}:\t{spec[key]}")
    if spec.get("serviceAccountName"):
        found.append(f"Service Account:\t{spec['serviceAccountName']}")
    found.append(f"Node:\t{spec['nodeName'] + host if spec.get('nodeName') else NONE}")
    if status.get("startTime"):
        found.append(f"Start Time:\t{time(status['startTime'])}")
    found += pairs("Labels:", metadata.get("labels")) + notes(metadata)
    if metadata.get("deletionTimestamp"):
        found.append(f"Status:\tTerminating (since {time(metadata['deletionTimestamp'])})")
        found.append(f"Termination Grace Period:\t{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        found.append(f"Status:\t{status.get('phase', '')}")
    for key in ("reason", "message"):
        if status.get(key):
            found.append(f"{key.capitalize()}:\t{status[key]}")
    if profile := ((spec.get("securityContext") or {}).get("seccompProfile") or {}).get("type"):
        found.append(f"SeccompProfile:\t{profile}")
    found.append(f"IP:\t{status.get('podIP', '')}")
    addresses = status.get("podIPs") or ()
    found += ["IPs:", *(f"  IP:\t{one['ip']}" for one in addresses)] if addresses else [f"IPs:\t{NONE}"]
    owner = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
    if owner is not None:
        found.append(f"Controlled By:\t{owner['kind']}/{owner['name']}")
    if status.get("nominatedNodeName"):
        found.append(f"NominatedNodeName:\t{status['nominatedNodeName']}")
    for key, statuses, title in (
        ("initContainers", "initContainerStatuses", "Init Containers"),
        ("containers", "containerStatuses", "Containers"),
        ("ephemeralContainers", "ephemeralContainerStatuses", "Ephemeral Containers"),
    ):
        if spec.get(key):
            found += containers(title, spec[key], status.get(statuses) or ())
    if spec.get("readinessGates"):
        found += ["Readiness Gates:", "  Type", *(f"  {one['conditionType']}" for one in spec["readinessGates"])]
    if status.get("conditions"):
        found += ["Conditions:", "  Type\tStatus"]
        found += [f"  {one['type']}\t{one['status']} " for one in status["conditions"]]
    found += volumes(spec.get("volumes") or ())
    found.append(f"QoS Class:\t{status.get('qosClass') or qos_class(pod)}")
    found += pairs("Node-Selectors:", spec.get("nodeSelector"))
    found += tolerations(spec.get("tolerations") or ())
    for one in spec.get("topologySpreadConstraints") or ():
        found.append(f"Topology Spread Constraints:\t{one['topologyKey']}:{one['whenUnsatisfiable']}")
    gates = spec.get("schedulingGates")
    if gates:
        found.append(f"Scheduling Gates:\t{words(one['name'] for one in gates)}")
    return found + events(around.events, around.now)

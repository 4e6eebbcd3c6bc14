"""What our controllers' accounts may do beyond the roles that upstream gives them.

Upstream's controllers mostly write objects whole, ours send the change alone: where an account may `update`, it may
`patch` here too, which lets it write nothing else. A test holds this table against upstream's roles.
"""

from __future__ import annotations

from typing import Any

#: Account: the resources that it may update by upstream's role, as group and names.
PATCHES: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "certificate-controller": (("certificates.k8s.io", ("certificatesigningrequests/status",)),),
    "cronjob-controller": (("batch", ("cronjobs", "cronjobs/status")),),
    "daemon-set-controller": (("apps", ("daemonsets/status",)),),
    "deployment-controller": (("apps", ("deployments", "deployments/status")),),
    "disruption-controller": (("policy", ("poddisruptionbudgets/status",)),),
    "job-controller": (("batch", ("jobs/status",)),),
    "namespace-controller": (("", ("namespaces/status",)),),
    "persistent-volume-binder": (
        (
            "",
            (
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "persistentvolumes",
                "persistentvolumes/status",
            ),
        ),
    ),
    "pv-protection-controller": (("", ("persistentvolumes",)),),
    "pvc-protection-controller": (("", ("persistentvolumeclaims", "persistentvolumeclaims/status")),),
    "replicaset-controller": (("apps", ("replicasets", "replicasets/status")),),
    "replication-controller": (("", ("replicationcontrollers", "replicationcontrollers/status")),),
    "root-ca-cert-publisher": (("", ("configmaps",)),),
    "statefulset-controller": (("", ("persistentvolumeclaims",)), ("apps", ("statefulsets/status",))),
    "volumeattributesclass-protection-controller": (("storage.k8s.io", ("volumeattributesclasses",)),),
}

#: Written whole by ours as well, or not at all.
WRITTEN_WHOLE = frozenset(
    {
        ("deployment-controller", "", "pods"),
        ("endpoint-controller", "", "endpoints"),
        ("endpointslice-controller", "discovery.k8s.io", "endpointslices"),
        ("endpointslicemirroring-controller", "discovery.k8s.io", "endpointslices"),
        ("resourcequota-controller", "", "resourcequotas/status"),
    }
)

#: And what ours look at once more in the store before they write.
READS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "certificate-controller": (("", ("nodes",)),),
    "resourcequota-controller": (("", ("resourcequotas",)),),
}


def rules(account: str) -> list[dict[str, Any]]:
    patches = [_rule(group, names, "patch") for group, names in PATCHES.get(account, ())]
    return [*patches, *(_rule(group, names, "get") for group, names in READS.get(account, ()))]


def accounts() -> list[str]:
    return sorted(PATCHES.keys() | READS.keys())


def _rule(group: str, resources: tuple[str, ...], verb: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": list(resources), "verbs": [verb]}

"""Objects a cluster has from its first minute: the DNS Service, roles for our own services, bootstrap rules, notices.

Applied by `skiff up` with the admin's identity each time: missing ones are created, ours are brought up to date,
what a user added beside them stays. Every name here is upstream's where upstream has one.
"""

from __future__ import annotations

from typing import Any

from skiff.cluster import controller_roles
from skiff.cluster.settings import Settings

KUBELET_CLIENT = "kube-apiserver-kubelet-client"
BOOTSTRAPPERS = "system:bootstrappers:skiff:default-node-token"
CLUSTER_INFO, CLUSTER_SETTINGS = "cluster-info", "skiff-settings"
#: kubeadm's name for the Role that lets anybody read cluster-info.
CLUSTER_INFO_READER = "kubeadm:bootstrap-signer-clusterinfo"
LABELS = {"kubernetes.io/cluster-service": "true", "app.kubernetes.io/managed-by": "skiff"}


def objects(settings: Settings, ca_pem: str, server: str) -> list[tuple[str, dict[str, Any]]]:
    """(collection path, object) in the order of creation."""
    return [
        ("/api/v1/namespaces/kube-system/services", dns_service(settings)),
        *roles(),
        ("/api/v1/namespaces/kube-public/configmaps", cluster_info(ca_pem, server)),
        ("/api/v1/namespaces/kube-system/configmaps", cluster_settings(settings)),
        *joining_roles(),
    ]


def dns_service(settings: Settings) -> dict[str, Any]:
    """Without a selector: each node's DNS server keeps an EndpointSlice of its own. `kubectl cluster-info` lists it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {**LABELS, "k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": settings.dns_ip,
            "trafficDistribution": "PreferClose",
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": settings.ports.dns},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": settings.ports.dns},
                {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": settings.ports.dns_metrics},
            ],
        },
    }


def role(name: str, *rules: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return (
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": LABELS},
            "rules": list(rules),
        },
    )


def binding(name: str, role_name: str, *subjects: dict[str, str]) -> tuple[str, dict[str, Any]]:
    return (
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": LABELS},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role_name},
            "subjects": list(subjects),
        },
    )


def subject(kind: str, name: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}


def rule(groups: list[str], resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


def controllers() -> list[tuple[str, dict[str, Any]]]:
    """Additions to the roles of the controllers' ServiceAccounts, where there are any."""
    granted: list[tuple[str, dict[str, Any]]] = []
    for account in controller_roles.accounts():
        name = f"skiff:controller:{account}"
        subject_of = {"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}
        granted += [role(name, *controller_roles.rules(account)), binding(name, name, subject_of)]
    return granted


def roles() -> list[tuple[str, dict[str, Any]]]:
    read = ["get", "list", "watch"]
    bootstrappers = subject("Group", BOOTSTRAPPERS)
    default_account = {"kind": "ServiceAccount", "name": "default", "namespace": "kube-system"}
    signer = "certificates.k8s.io"
    return [
        role(
            "skiff:cluster-dns",
            rule([""], ["services", "namespaces", "pods"], read),
            rule(["discovery.k8s.io"], ["endpointslices"], [*read, "create", "update", "patch", "delete"]),
        ),
        binding("skiff:cluster-dns", "skiff:cluster-dns", subject("User", "system:cluster-dns")),
        # A documented addition to upstream: the classic curl recipe reads `/` and the API with this account.
        role("skiff:path-reader", {"nonResourceURLs": ["/"], "verbs": ["get"]}),
        binding("skiff:default-path-reader", "skiff:path-reader", default_account),
        binding("skiff:default-view", "view", default_account),
        binding("skiff:kubelet-bootstrap", "system:node-bootstrapper", bootstrappers),
        binding(
            "skiff:node-autoapprove-bootstrap",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            bootstrappers,
        ),
        binding(
            "skiff:node-autoapprove-rotation",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            subject("Group", "system:nodes"),
        ),
        role("skiff:node-serving", rule([signer], ["certificatesigningrequests/selfnodeserving"], ["create"])),
        binding("skiff:node-serving", "skiff:node-serving", subject("Group", "system:nodes")),
        role("skiff:node-agents", rule([signer], ["certificatesigningrequests/nodeagent"], ["create"])),
        # Nodes too: theirs are renewed with the node's own identity, when the token has long ended.
        binding("skiff:node-agents", "skiff:node-agents", bootstrappers, subject("Group", "system:nodes")),
        # Whether the name that it wants is free.
        role("skiff:get-nodes", rule([""], ["nodes"], ["get"])),
        binding("skiff:get-nodes", "skiff:get-nodes", bootstrappers),
        # What the apiserver may do at kubelets: logs, exec, port-forward, statistics, and nothing in the API.
        binding("skiff:apiserver-to-kubelets", "system:kubelet-api-admin", subject("User", KUBELET_CLIENT)),
        # Upstream's role approves nodes' client certificates only.
        role(
            "skiff:certificate-approver",
            {
                **rule([signer], ["signers"], ["approve"]),
                "resourceNames": ["kubernetes.io/kube-apiserver-client", "kubernetes.io/kubelet-serving"],
            },
        ),
        binding(
            "skiff:certificate-approver",
            "skiff:certificate-approver",
            {"kind": "ServiceAccount", "name": "certificate-controller", "namespace": "kube-system"},
        ),
        *controllers(),
    ]


def _in_namespace(
    namespace: str, name: str, config_map: str, *subjects: dict[str, str]
) -> list[tuple[str, dict[str, Any]]]:
    """A Role to read one ConfigMap, and who has it."""
    group = "rbac.authorization.k8s.io"
    collection = f"/apis/{group}/v1/namespaces/{namespace}"
    metadata = {"name": name, "namespace": namespace, "labels": LABELS}
    may = {**rule([""], ["configmaps"], ["get"]), "resourceNames": [config_map]}
    role_ref = {"apiGroup": group, "kind": "Role", "name": name}
    role_body = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [may]}
    binding_body = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": role_ref,
        "subjects": list(subjects),
    }
    return [(f"{collection}/roles", role_body), (f"{collection}/rolebindings", binding_body)]


def joining_roles() -> list[tuple[str, dict[str, Any]]]:
    """What a node reads before it has joined: the authority without any proof, the settings with its token."""
    bootstrappers = subject("Group", BOOTSTRAPPERS)
    return [
        *_in_namespace("kube-public", CLUSTER_INFO_READER, CLUSTER_INFO, subject("User", "system:anonymous")),
        *_in_namespace(
            "kube-system", "skiff:node-settings", CLUSTER_SETTINGS, bootstrappers, subject("Group", "system:nodes")
        ),
    ]


def cluster_settings(settings: Settings) -> dict[str, Any]:
    """What a worker must agree on with the control plane."""
    data = {
        "serviceCIDR": settings.service_cidr,
        "podCIDR": settings.pod_cidr,
        "nodeCIDRMask": str(settings.node_cidr_mask),
        "clusterDomain": settings.cluster_domain,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CLUSTER_SETTINGS, "namespace": "kube-system", "labels": LABELS},
        "data": data,
    }


def cluster_info(ca_pem: str, server: str) -> dict[str, Any]:
    """What a joining node reads anonymously and checks against the CA hash that it was given (kubeadm's layout)."""
    import base64

    import yaml

    ca = base64.b64encode(ca_pem.encode()).decode()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": {"server": server, "certificate-authority-data": ca}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CLUSTER_INFO, "namespace": "kube-public", "labels": LABELS},
        "data": {"kubeconfig": yaml.safe_dump(kubeconfig, sort_keys=False)},
    }

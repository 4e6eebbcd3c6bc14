"""The FlowSchemas and priority levels of upstream, as objects that anybody may change; `flowcontrol/` obeys them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GROUP = "flowcontrol.apiserver.k8s.io"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
NODES, ACCOUNTS = "group:system:nodes", "account:kube-system/*"
EVERYBODY = ("group:system:unauthenticated", "group:system:authenticated")
MANAGER, SCHEDULER = "user:system:kube-controller-manager", "user:system:kube-scheduler"

#: name, shares, lendable percent, (queues, hand size) or None for refusing what does not fit
LEVELS = (
    ("catch-all", 5, 0, None),
    ("system", 30, 33, (64, 6)),
    ("node-high", 40, 25, (64, 6)),
    ("leader-election", 10, 0, (16, 4)),
    ("workload-high", 40, 50, (128, 6)),
    ("workload-low", 100, 90, (128, 6)),
    ("global-default", 20, 50, (128, 6)),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on resources of groups; everything by default."""

    verbs: tuple[str, ...] = ("*",)
    groups: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = ("*",)
    cluster_scope: bool = True


@dataclass(frozen=True, slots=True)
class Schema:
    """`paths` () means none."""

    name: str
    level: str
    precedence: int
    by: str
    subjects: tuple[str, ...]
    rules: tuple[Rule, ...] = (Rule(),)
    paths: tuple[str, ...] = ("*",)
    path_verbs: tuple[str, ...] = ("*",)


LEASES = Rule(groups=("coordination.k8s.io",), resources=("leases",), cluster_scope=False)
SCHEMAS = (
    Schema("exempt", "exempt", 1, "", ("group:system:masters",)),
    Schema("probes", "exempt", 2, "", EVERYBODY, (), ("/healthz", "/readyz", "/livez"), ("get",)),
    Schema(
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        (MANAGER, SCHEDULER, ACCOUNTS),
        (Rule(("get", "create", "update"), LEASES.groups, LEASES.resources, False),),
        (),
    ),
    Schema(
        "system-node-high",
        "node-high",
        400,
        "ByUser",
        (NODES,),
        (Rule(groups=("",), resources=("nodes", "nodes/status")), LEASES),
        (),
    ),
    Schema("system-nodes", "system", 500, "ByUser", (NODES,)),
    Schema("kube-controller-manager", "workload-high", 800, "ByNamespace", (MANAGER,)),
    Schema("kube-scheduler", "workload-high", 800, "ByNamespace", (SCHEDULER,)),
    Schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", (ACCOUNTS,)),
    Schema("service-accounts", "workload-low", 9000, "ByUser", ("group:system:serviceaccounts",)),
    Schema("global-default", "global-default", 9900, "ByUser", EVERYBODY),
    Schema("catch-all", "catch-all", 10000, "ByUser", EVERYBODY),
)


def priority_levels() -> Iterator[dict[str, Any]]:
    shares = {"nominalConcurrencyShares": 0, "lendablePercent": 0}
    yield _object("PriorityLevelConfiguration", "exempt", {"type": "Exempt", "exempt": shares})
    for name, number, lendable, queues in LEVELS:
        response: dict[str, Any] = {"type": "Reject"}
        if queues is not None:
            queuing = {"queues": queues[0], "handSize": queues[1], "queueLengthLimit": 50}
            response = {"type": "Queue", "queuing": queuing}
        limited = {
            "nominalConcurrencyShares": number,
            "lendablePercent": lendable,
            "limitResponse": response,
        }
        yield _object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited})


def flow_schemas() -> Iterator[dict[str, Any]]:
    for schema in SCHEMAS:
        rules: dict[str, Any] = {"subjects": [_subject(text) for text in schema.subjects]}
        if schema.rules:
            rules["resourceRules"] = [_resource_rule(rule) for rule in schema.rules]
        if schema.paths:
            paths = {"verbs": list(schema.path_verbs), "nonResourceURLs": list(schema.paths)}
            rules["nonResourceRules"] = [paths]
        spec: dict[str, Any] = {
            "priorityLevelConfiguration": {"name": schema.level},
            "matchingPrecedence": schema.precedence,
            "rules": [rules],
        }
        if schema.by:
            spec["distinguisherMethod"] = {"type": schema.by}
        yield _object("FlowSchema", schema.name, spec)


def _resource_rule(rule: Rule) -> dict[str, Any]:
    return {
        "verbs": list(rule.verbs),
        "apiGroups": list(rule.groups),
        "resources": list(rule.resources),
        "clusterScope": rule.cluster_scope,
        "namespaces": ["*"],
    }


def _subject(text: str) -> dict[str, Any]:
    kind, _, name = text.partition(":")
    if kind == "account":
        namespace, _, account = name.partition("/")
        return {"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": account}}
    return {"kind": kind.capitalize(), kind: {"name": name}}


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "spec": spec}

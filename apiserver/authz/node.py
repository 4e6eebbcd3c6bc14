"""The node authorizer: a kubelet reads what the pods on its node need, and writes about itself.

What depends on the content of a written object is left to the NodeRestriction admission plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery import selectors
from apiserver.authz.node_graph import NodeGraph
from apiserver.authz.rules import Rule
from apiserver.ports import Attributes, User, Verdict

NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"
Answer = tuple[Verdict, str]
ALLOWED: Answer = (Verdict.ALLOW, "")
_WRITES_ONE = ("get", "create", "update", "patch", "delete")


def no_opinion(reason: str = "") -> Answer:
    return Verdict.NO_OPINION, reason


def node_of(user: User) -> tuple[str, bool]:
    """The node's name and whether the user is a node at all."""
    if not user.name.startswith(NODE_PREFIX) or NODES_GROUP not in user.groups:
        return "", False
    return user.name.removeprefix(NODE_PREFIX), True


class NodeAuthorizer:
    """`rules` are those of the ClusterRole system:node, for resources that are the same for every node."""

    def __init__(self, graph: NodeGraph, rules: Sequence[Rule]) -> None:
        self._graph = graph
        self._rules = tuple(rules)
        self._by_resource: dict[tuple[str, str], Callable[[str, Attributes], Answer]] = {
            ("", "secrets"): self._read,
            ("", "configmaps"): self._read,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._service_account,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("certificates.k8s.io", "podcertificaterequests"): self._pod_certificate,
        }

    async def authorize(self, attributes: Attributes) -> Answer:
        node, is_node = node_of(attributes.user)
        if not is_node:
            return no_opinion()
        if not node:
            return no_opinion(f'unknown node for user "{attributes.user.name}"')
        decide = self._by_resource.get((attributes.group, attributes.resource)) if attributes.resource else None
        if decide is not None:
            return decide(node, attributes)
        return ALLOWED if any(rule.allows(attributes) for rule in self._rules) else no_opinion()

    def _related(self, node: str, question: Attributes) -> Answer:
        if not question.name:
            return no_opinion("No Object name found")
        if self._graph.related(node, question.resource, question.namespace, question.name):
            return ALLOWED
        return no_opinion(f"no relationship found between node '{node}' and this object")

    def _read(self, node: str, question: Attributes) -> Answer:
        if question.verb not in ("get", "list", "watch"):
            return no_opinion("can only read resources of this type")
        if question.subresource:
            return no_opinion("cannot read subresource")
        if not question.namespace:
            return no_opinion("can only read namespaced object of this type")
        return self._related(node, question)

    def _get(self, node: str, question: Attributes) -> Answer:
        if question.verb != "get":
            return no_opinion("can only get individual resources of this type")
        if question.subresource:
            return no_opinion("cannot get subresource")
        return self._related(node, question)

    def _claim(self, node: str, question: Attributes) -> Answer:
        if question.subresource != "status":
            return self._get(node, question)
        if question.verb not in ("update", "patch"):
            return no_opinion("can only get/update/patch this type")
        return self._related(node, question)

    def _service_account(self, node: str, question: Attributes) -> Answer:
        if question.verb == "get" and not question.subresource:
            return self._read(node, question)
        if question.verb != "create" or not question.name:
            return no_opinion("can only create tokens for individual service accounts")
        if question.subresource != "token":
            return no_opinion("can only create token subresource of serviceaccount")
        return self._related(node, question)

    def _lease(self, node: str, question: Attributes) -> Answer:
        if question.verb not in _WRITES_ONE:
            return no_opinion("can only get, create, update, patch, or delete a node lease")
        if question.namespace != LEASE_NAMESPACE:
            return no_opinion(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if question.verb != "create" and question.name != node:
            return no_opinion("can only access node lease with the same name as the requesting node")
        return ALLOWED

    def _csi_node(self, node: str, question: Attributes) -> Answer:
        if question.verb not in _WRITES_ONE:
            return no_opinion("can only get, create, update, patch, or delete a CSINode")
        if question.subresource:
            return no_opinion("cannot authorize CSINode subresources")
        if question.verb != "create" and question.name != node:
            return no_opinion("can only access CSINode with the same name as the requesting node")
        return ALLOWED

    def _slice(self, node: str, question: Attributes) -> Answer:
        if question.subresource:
            return no_opinion("cannot authorize ResourceSlice subresources")
        if question.verb == "create":
            return ALLOWED
        if question.verb in ("get", "update", "patch", "delete"):
            return self._related(node, question)
        if question.verb in ("watch", "list", "deletecollection"):
            if selects(question.field_selector, "spec.nodeName", node):
                return ALLOWED
            return no_opinion("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return no_opinion(
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _node(self, node: str, question: Attributes) -> Answer:
        if question.subresource == "status":
            return ALLOWED if question.verb in ("update", "patch") else no_opinion()
        if question.subresource:
            return no_opinion()
        if question.verb in ("create", "update", "patch"):
            return ALLOWED
        if question.verb not in ("get", "list", "watch"):
            return no_opinion()
        if question.name == node:
            return ALLOWED
        if not question.name:
            return no_opinion(f"node '{node}' cannot read all nodes, only its own Node object")
        return no_opinion(f"node '{node}' cannot read '{question.name}', only its own Node object")

    def _pod(self, node: str, question: Attributes) -> Answer:
        if question.subresource == "status":
            return ALLOWED if question.verb in ("update", "patch") else no_opinion()
        if question.subresource == "eviction":
            return ALLOWED if question.verb == "create" else no_opinion()
        if question.subresource:
            return no_opinion()
        if question.verb == "get":
            return self._get(node, question)
        if question.verb in ("list", "watch"):
            if selects(question.field_selector, "spec.nodeName", node):
                return ALLOWED
            if question.name:
                return self._related(node, question)
            return no_opinion("can only list/watch pods with spec.nodeName field selector")
        return ALLOWED if question.verb in ("create", "delete") else no_opinion()

    def _pod_certificate(self, node: str, question: Attributes) -> Answer:
        if question.subresource:
            return no_opinion("nodes may not access the status subresource of PodCertificateRequests")
        if question.verb == "create":
            return ALLOWED
        if question.verb == "get":
            return self._related(node, question)
        if question.verb in ("list", "watch"):
            if selects(question.field_selector, "spec.nodeName", node):
                return ALLOWED
            return no_opinion("can only list/watch podcertificaterequests with nodeName field selector")
        return no_opinion(f"nodes may not {question.verb} podcertificaterequests")


def selects(field_selector: str, field: str, value: str) -> bool:
    """Whether the selector lets through only objects whose `field` is `value`."""
    if not field_selector:
        return False
    try:
        parsed = selectors.parse_fields(field_selector)
    except ValueError:
        return False
    return any(one.field == field and one.operator in ("=", "==") and one.value == value for one in parsed.requirements)

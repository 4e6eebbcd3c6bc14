"""NodeRestriction: a kubelet writes only its own node, lease and CSINode, and only pods that run on it.

Completes the node authorizer, which does not see the content of what is written.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from apimachinery import errors
from apimachinery.fields import quote
from apiserver.admission import mirror_pods, node_labels
from apiserver.admission.chain import CORE, Plugin, known, refuse
from apiserver.authz.node import LEASE_NAMESPACE, NODE_PREFIX, node_of
from apiserver.ports import JSON, AdmissionRequest, Attributes, Authorizer, Objects, Operation, Verdict

NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
Check = Callable[[str, AdmissionRequest], Awaitable[None]]


class NodeRestriction(Plugin):
    name: ClassVar[str] = "NodeRestriction"
    operations: ClassVar[frozenset[Operation]] = frozenset({Operation.CREATE, Operation.UPDATE, Operation.DELETE})

    def __init__(self, objects: Objects, authorizer: Authorizer) -> None:
        self._objects = objects
        self._authorizer = authorizer
        self._checks: dict[tuple[str, str], Check] = {
            (CORE, "pods"): self._pod,
            (CORE, "nodes"): self._node,
            (CORE, "persistentvolumeclaims"): self._claim,
            (CORE, "serviceaccounts"): self._service_account,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("certificates.k8s.io", "certificatesigningrequests"): self._signing_request,
        }

    async def mutate(self, request: AdmissionRequest) -> None:
        """Refuses early, as upstream does; changes nothing."""
        node, is_node = node_of(request.user)
        if not is_node:
            return
        if not node:
            raise refuse(request, f"could not determine node from user {quote(request.user.name)}")
        check = self._checks.get((request.info.group, request.info.plural))
        if check is not None:
            await check(node, request)

    # -- Pods

    async def _pod(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource == "status":
            mirror_pods.check_status(node, request)
        elif request.subresource == "eviction":
            if request.operation is not Operation.CREATE:
                raise refuse(request, f"unexpected operation {request.operation.value}")
            pod = await self._existing_pod(request, request.name)
            if pod["spec"].get("nodeName") != node:
                raise refuse(request, f"node {node} can only evict pods with spec.nodeName set to itself")
        elif request.subresource:
            subresource = quote(request.subresource)
            raise refuse(request, f"unexpected pod subresource {subresource}, only 'status' and 'eviction' are allowed")
        elif request.operation is Operation.CREATE:
            stored = self._objects.get(known(CORE, "v1", "nodes"), "", node)
            mirror_pods.check_create(node, request, stored)
        elif request.operation is Operation.DELETE:
            pod = request.old or await self._existing_pod(request, request.name)
            if pod["spec"].get("nodeName") != node:
                raise refuse(request, f"node {quote(node)} can only delete pods with spec.nodeName set to itself")
        else:
            why = f"node {quote(node)} can only create and delete mirror pods"
            raise refuse(request, f"unexpected operation {quote(request.operation.value)}, {why}")

    async def _existing_pod(self, request: AdmissionRequest, name: str) -> JSON:
        info = known(CORE, "v1", "pods")
        pod = self._objects.get(info, request.namespace, name)
        if pod is None:
            pod = await self._objects.get_latest(info, request.namespace, name)
        if pod is None:
            raise errors.not_found("pods", "", name)
        return pod

    # -- Its own node

    async def _node(self, node: str, request: AdmissionRequest) -> None:
        name = request.name or (request.obj or {}).get("metadata", {}).get("name", "")
        if name != node:
            raise refuse(request, f"node {quote(node)} is not allowed to modify node {quote(name)}")
        if request.obj is None:
            return
        if request.operation is Operation.CREATE:
            node_labels.check_create(node, request)
        elif request.operation is Operation.UPDATE:
            node_labels.check_update(node, request)

    async def _lease(self, node: str, request: AdmissionRequest) -> None:
        if request.namespace != LEASE_NAMESPACE:
            raise refuse(request, f"can only access leases in the {quote(LEASE_NAMESPACE)} system namespace")
        if _written_name(request) != node:
            raise refuse(request, "can only access node lease with the same name as the requesting node")

    async def _csi_node(self, node: str, request: AdmissionRequest) -> None:
        if _written_name(request) != node:
            raise refuse(request, "can only access CSINode with the same name as the requesting node")

    async def _slice(self, node: str, request: AdmissionRequest) -> None:
        if request.operation is Operation.UPDATE:
            return
        subject = request.obj if request.operation is Operation.CREATE else request.old
        if ((subject or {}).get("spec") or {}).get("nodeName") != node:
            verb = request.operation.value.lower()
            raise refuse(request, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")

    async def _signing_request(self, node: str, request: AdmissionRequest) -> None:
        spec = (request.obj or {}).get("spec") or {}
        if request.operation is not Operation.CREATE or spec.get("signerName") not in NODE_SIGNERS:
            return
        try:
            asked = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "", validate=True))
        except (ValueError, binascii.Error) as error:
            raise refuse(request, f"unable to parse csr: {error}") from error
        names = [str(one.value) for one in asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if names != [NODE_PREFIX + node]:
            raise refuse(request, f"can only create a node CSR with CN=system:node:{node}")

    # -- What its pods use

    async def _claim(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource != "status":
            raise refuse(request, "may only update PVC status")
        if request.operation is not Operation.UPDATE:
            raise refuse(request, f"unexpected operation {quote(request.operation.value)}")
        if _fixed_part_of_claim(request.obj) != _fixed_part_of_claim(request.old):
            why = "is not allowed to update fields other than status.quantity and status.conditions"
            raise refuse(request, f"node {quote(node)} {why}")

    async def _service_account(self, node: str, request: AdmissionRequest) -> None:
        if request.operation is not Operation.CREATE or request.subresource != "token":
            return
        spec = (request.obj or {}).get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if bound.get("apiVersion") != "v1" or bound.get("kind") != "Pod" or not bound.get("name"):
            raise refuse(request, "node requested token not bound to a pod")
        if not bound.get("uid"):
            raise refuse(request, "node requested token with a pod binding without a uid")
        pod = await self._existing_pod(request, bound["name"])
        if pod["metadata"].get("uid") != bound["uid"]:
            raise refuse(
                request,
                f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if pod["spec"].get("nodeName") != node:
            raise refuse(request, "node requested token bound to a pod scheduled on a different node")
        await self._check_audience(request, pod, spec.get("audiences") or [])

    async def _check_audience(self, request: AdmissionRequest, pod: JSON, audiences: list[str]) -> None:
        if len(audiences) > 1:
            raise refuse(request, "node may only request 0 or 1 audiences")
        audience = audiences[0] if audiences else ""
        if self._pod_names_audience(pod, audience):
            return
        question = Attributes(
            request.user,
            "request-serviceaccounts-token-audience",
            version="v1",
            resource=audience,
            namespace=request.namespace,
            name=request.name,
        )
        verdict, _ = await self._authorizer.authorize(question)
        if verdict is not Verdict.ALLOW:
            raise refuse(
                request,
                f"audience {quote(audience)} not found in pod spec volume, "
                f"{request.user.name} is not authorized to request tokens for this audience",
            )

    def _pod_names_audience(self, pod: JSON, audience: str) -> bool:
        for volume in pod["spec"].get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                token = source.get("serviceAccountToken")
                if token is not None and (token.get("audience") or "") == audience:
                    return True
            driver = self._csi_driver(pod, volume)
            if driver and self._driver_asks_for(driver, audience):
                return True
        return False

    def _csi_driver(self, pod: JSON, volume: JSON) -> str:
        """The driver behind a volume, directly or through its claim."""
        if volume.get("csi"):
            return str(volume["csi"].get("driver") or "")
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if volume.get("ephemeral"):
            claim = f"{pod['metadata']['name']}-{volume['name']}"
        if not claim:
            return ""
        stored = self._objects.get(known(CORE, "v1", "persistentvolumeclaims"), pod["metadata"]["namespace"], claim)
        name = ((stored or {}).get("spec") or {}).get("volumeName")
        bound = self._objects.get(known(CORE, "v1", "persistentvolumes"), "", name) if name else None
        return str((((bound or {}).get("spec") or {}).get("csi") or {}).get("driver") or "")

    def _driver_asks_for(self, driver: str, audience: str) -> bool:
        stored = self._objects.get(known("storage.k8s.io", "v1", "csidrivers"), "", driver)
        requests = ((stored or {}).get("spec") or {}).get("tokenRequests") or ()
        return any((one.get("audience") or "") == audience for one in requests)


def _written_name(request: AdmissionRequest) -> str:
    if request.operation is Operation.CREATE:
        return str((request.obj or {}).get("metadata", {}).get("name", ""))
    return request.name


def _fixed_part_of_claim(claim: JSON | None) -> dict[str, Any]:
    """What a node may not change."""
    claim = claim or {}
    mutable = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
    metadata = {k: v for k, v in (claim.get("metadata") or {}).items() if k not in ("resourceVersion", "managedFields")}
    status = {key: value for key, value in (claim.get("status") or {}).items() if key not in mutable}
    return {**claim, "metadata": metadata, "status": status}

"""What admission completes and what it refuses."""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.errors import StatusError
from apiserver import admission, authz
from apiserver.admission import Chain
from apiserver.ports import AdmissionRequest, Operation, User
from component_base.clock import ManualClock
from component_base.flags import FlagSet
from component_base.rng import seeded
from tests.unit.apiserver.memory_objects import START, MemoryObjects, info

JANE = User("jane", ("system:authenticated",))
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
Obj = dict[str, Any]


def build(objects: MemoryObjects, *arguments: str) -> Chain:
    flags = FlagSet("apiserver", "")
    admission.declare(flags)
    authz.declare(flags)
    values = flags.parse_or_raise(["--authorization-mode=Node,RBAC", *arguments])
    return admission.build(values, objects, authz.build(values, objects), objects.clock, seeded(1))


@pytest.fixture
def objects() -> MemoryObjects:
    objects = MemoryObjects(ManualClock(START))
    objects.put("namespaces", "web", status={"phase": "Active"})
    objects.put("serviceaccounts", "default", "web")
    return objects


@pytest.fixture
def chain(objects: MemoryObjects) -> Chain:
    return build(objects)


def request(
    plural: str,
    obj: Obj | None,
    *,
    group: str = "",
    operation: Operation = Operation.CREATE,
    old: Obj | None = None,
    user: User = JANE,
    subresource: str = "",
    namespace: str = "web",
) -> AdmissionRequest:
    name = ((obj or old or {}).get("metadata") or {}).get("name", "")
    return AdmissionRequest(operation, info(plural, group), subresource, namespace, name, obj, old, user)


def pod(name: str = "p", metadata: Mapping[str, Any] | None = None, **spec: Any) -> Obj:
    spec.setdefault("containers", [{"name": "c"}])
    return {"metadata": {"name": name, "namespace": "web", **(metadata or {})}, "spec": spec}


async def admit(chain: Chain, asked: AdmissionRequest) -> Obj:
    await chain.mutate(asked)
    await chain.validate(asked)
    return asked.obj or {}


async def refused(chain: Chain, asked: AdmissionRequest) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await admit(chain, asked)
    return caught.value


class TestNamespaceLifecycle:
    async def test_nothing_goes_into_absent_namespaces(self, chain: Chain) -> None:
        error = await refused(chain, request("configmaps", {"metadata": {"name": "c"}}, namespace="none"))
        assert (error.code, error.message) == (404, 'namespaces "none" not found')

    async def test_nor_into_ending_ones(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.put("namespaces", "old", status={"phase": "Terminating"})
        error = await refused(chain, request("configmaps", {"metadata": {"name": "c"}}, namespace="old"))
        assert error.code == 403
        assert error.message == (
            'configmaps "c" is forbidden: unable to create new content in namespace old because it is being terminated'
        )
        assert error.causes == [
            {
                "reason": "NamespaceTerminating",
                "message": "namespace old is being terminated",
                "field": "metadata.namespace",
            }
        ]

    async def test_what_is_in_them_may_change_and_go(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.put("namespaces", "old", status={"phase": "Terminating"})
        obj = {"metadata": {"name": "c"}}
        await admit(chain, request("configmaps", obj, operation=Operation.UPDATE, old=obj, namespace="old"))
        await admit(chain, request("configmaps", None, operation=Operation.DELETE, old=obj, namespace="old"))

    async def test_a_namespace_that_the_cache_has_not_seen(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.hidden = {"web"}
        await admit(chain, request("configmaps", {"metadata": {"name": "c"}}))

    async def test_after_a_deletion_the_cache_is_not_believed(self, objects: MemoryObjects, chain: Chain) -> None:
        namespace = {"metadata": {"name": "web"}}
        await admit(chain, request("namespaces", None, operation=Operation.DELETE, old=namespace, namespace=""))
        objects.get = lambda *_: {"metadata": {"name": "web"}, "status": {"phase": "Active"}}  # type: ignore[method-assign]
        objects.put("namespaces", "web", status={"phase": "Terminating"})
        error = await refused(chain, request("configmaps", {"metadata": {"name": "c"}}))
        assert error.code == 403

    @pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
    async def test_three_never_end(self, chain: Chain, name: str) -> None:
        old = {"metadata": {"name": name}}
        error = await refused(chain, request("namespaces", None, operation=Operation.DELETE, old=old, namespace=""))
        assert error.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


class TestServiceAccount:
    async def test_a_pod_gets_account_token_and_pull_secrets(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.put("serviceaccounts", "default", "web", imagePullSecrets=[{"name": "registry"}])
        made = await admit(chain, request("pods", pod(initContainers=[{"name": "i"}])))
        spec = made["spec"]
        assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        (volume,) = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        assert len(volume["name"]) == len("kube-api-access-") + 5
        assert volume["projected"] == {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ],
            "defaultMode": 420,
        }
        for container in (*spec["containers"], *spec["initContainers"]):
            assert container["volumeMounts"] == [
                {
                    "name": volume["name"],
                    "readOnly": True,
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                }
            ]

    @pytest.mark.parametrize(
        ("of_account", "of_pod", "mounted"),
        [(None, None, True), (False, None, False), (True, False, False), (False, True, True)],
    )
    async def test_the_pods_word_counts_first(
        self, objects: MemoryObjects, chain: Chain, of_account: bool | None, of_pod: bool | None, mounted: bool
    ) -> None:
        account: Obj = {} if of_account is None else {"automountServiceAccountToken": of_account}
        objects.put("serviceaccounts", "default", "web", **account)
        spec: Obj = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
        made = await admit(chain, request("pods", pod(**spec)))
        assert bool(made["spec"].get("volumes")) is mounted

    async def test_an_account_must_exist(self, chain: Chain) -> None:
        error = await refused(chain, request("pods", pod(serviceAccountName="ghost")))
        assert error.message == (
            'pods "p" is forbidden: error looking up service account web/ghost: serviceaccount "ghost" not found'
        )

    async def test_the_default_account_is_waited_for(self, objects: MemoryObjects, chain: Chain) -> None:
        await objects.delete(info("serviceaccounts"), "web", "default")
        asked = request("pods", pod())
        waiting = asyncio.ensure_future(chain.mutate(asked))
        await asyncio.sleep(0)
        assert not waiting.done()
        objects.put("serviceaccounts", "default", "web")
        assert isinstance(objects.clock, ManualClock)
        for _ in range(3):
            await asyncio.sleep(0)
            objects.clock.advance(0.2)
        await waiting
        assert asked.obj is not None
        assert asked.obj["spec"]["serviceAccountName"] == "default"

    async def test_secrets_may_be_limited(self, objects: MemoryObjects, chain: Chain) -> None:
        annotations = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
        objects.put("serviceaccounts", "default", "web", metadata=annotations, secrets=[{"name": "ok"}])
        await admit(chain, request("pods", pod(volumes=[{"name": "v", "secret": {"secretName": "ok"}}])))
        error = await refused(chain, request("pods", pod(volumes=[{"name": "v", "secret": {"secretName": "no"}}])))
        assert 'volume with secret.secretName="no" is not allowed' in error.message

    async def test_mirror_pods_reach_nothing(self, chain: Chain) -> None:
        mirror = {"annotations": {"kubernetes.io/config.mirror": "x"}}
        made = await admit(chain, request("pods", pod(metadata=mirror)))
        assert "volumes" not in made["spec"]
        error = await refused(chain, request("pods", pod(metadata=mirror, serviceAccountName="default")))
        assert error.message.endswith("a mirror pod may not reference service accounts")


class TestPriority:
    async def test_numbers_come_from_classes(self, objects: MemoryObjects, chain: Chain) -> None:
        group = "scheduling.k8s.io"
        objects.put("priorityclasses", "high", group=group, value=1000, preemptionPolicy="Never")
        spec = (await admit(chain, request("pods", pod(priorityClassName="high"))))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
        spec = (await admit(chain, request("pods", pod())))["spec"]
        assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
        assert "priorityClassName" not in spec
        objects.put("priorityclasses", "usual", group=group, value=5, globalDefault=True)
        spec = (await admit(chain, request("pods", pod())))["spec"]
        assert (spec["priority"], spec["priorityClassName"]) == (5, "usual")

    async def test_nobody_sets_them(self, chain: Chain) -> None:
        error = await refused(chain, request("pods", pod(priority=7)))
        assert "the integer value of priority (7) must not be provided in pod spec" in error.message
        error = await refused(chain, request("pods", pod(priorityClassName="none")))
        assert error.message.endswith("no PriorityClass with name none was found")

    async def test_one_default_is_enough(self, objects: MemoryObjects, chain: Chain) -> None:
        group = "scheduling.k8s.io"
        objects.put("priorityclasses", "usual", group=group, value=5, globalDefault=True)
        second = {"metadata": {"name": "second"}, "value": 6, "globalDefault": True}
        error = await refused(chain, request("priorityclasses", second, group=group, namespace=""))
        assert error.message.endswith("PriorityClass usual is already marked as default. Only one default can exist")


async def test_pods_stay_five_minutes_on_failing_nodes(chain: Chain) -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    spec = (await admit(chain, request("pods", pod(tolerations=[own]))))["spec"]
    assert spec["tolerations"] == [
        own,
        {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        },
    ]
    everything = [{"operator": "Exists"}]
    assert (await admit(chain, request("pods", pod(tolerations=everything))))["spec"]["tolerations"] == everything


async def test_default_classes_and_finalizers(objects: MemoryObjects, chain: Chain) -> None:
    marked = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    objects.put("storageclasses", "fast", group="storage.k8s.io", metadata=marked)
    claim = await admit(chain, request("persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": {}}))
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    none = {"metadata": {"name": "c"}, "spec": {"storageClassName": ""}}
    assert (await admit(chain, request("persistentvolumeclaims", none)))["spec"]["storageClassName"] == ""


async def test_nodes_begin_not_ready(chain: Chain) -> None:
    node = await admit(chain, request("nodes", {"metadata": {"name": "n1"}}, namespace=""))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


def csr(common_name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


class TestNodeRestriction:
    def node(self, name: str = "n1", **labels: str) -> Obj:
        return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}, "spec": {}}

    async def why(self, chain: Chain, asked: AdmissionRequest) -> str:
        asked.user = NODE
        return (await refused(chain, asked)).message.partition(" is forbidden: ")[2]

    async def test_registers_itself(self, chain: Chain) -> None:
        asked = request("nodes", self.node(), namespace="", user=NODE)
        assert (await admit(chain, asked))["spec"]["taints"]

    async def test_writes_no_other_node(self, chain: Chain) -> None:
        asked = request("nodes", self.node("n2"), namespace="")
        assert await self.why(chain, asked) == 'node "n1" is not allowed to modify node "n2"'

    async def test_does_not_steer_work_to_itself(self, chain: Chain) -> None:
        labels = {"node-role.kubernetes.io/control-plane": "", "node-restriction.kubernetes.io/x": "1"}
        asked = request("nodes", self.node("n1", **labels), namespace="")
        assert await self.why(chain, asked) == (
            'node "n1" is not allowed to set the following labels: '
            "node-restriction.kubernetes.io/x, node-role.kubernetes.io/control-plane"
        )
        await admit(chain, request("nodes", self.node("n1", zone="a"), namespace="", user=NODE))
        new, old = self.node(), self.node()
        old["spec"]["taints"] = [{"key": "k", "effect": "NoSchedule"}]
        asked = request("nodes", new, old=old, operation=Operation.UPDATE, namespace="")
        assert await self.why(chain, asked) == 'node "n1" is not allowed to modify taints'

    async def test_changes_status_of_its_own_pods_only(self, chain: Chain) -> None:
        mine = pod(nodeName="n1")
        await admit(
            chain,
            request("pods", mine, old=mine, operation=Operation.UPDATE, subresource="status", user=NODE),
        )
        theirs = pod(nodeName="n2")
        asked = request("pods", theirs, old=theirs, operation=Operation.UPDATE, subresource="status")
        assert (
            await self.why(chain, asked)
            == 'node "n1" can only update pod status for pods with spec.nodeName set to itself'
        )
        asked = request("pods", None, old=theirs, operation=Operation.DELETE)
        assert await self.why(chain, asked) == 'node "n1" can only delete pods with spec.nodeName set to itself'

    async def test_creates_mirror_pods_only(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.put("nodes", "n1")
        assert "can only create mirror pods" in await self.why(chain, request("pods", pod(nodeName="n1")))
        owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-n1", "controller": True}
        metadata = {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}
        await admit(chain, request("pods", pod(metadata=metadata, nodeName="n1"), user=NODE))
        settings = [{"name": "v", "configMap": {"name": "s"}}]
        asked = request("pods", pod(metadata=metadata, nodeName="n1", volumes=settings))
        assert await self.why(chain, asked) == 'node "n1" can not create pods that reference configmaps'

    async def test_asks_tokens_for_its_pods_only(self, objects: MemoryObjects, chain: Chain) -> None:
        volume = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}
        objects.put("pods", "p", "web", spec={"nodeName": "n1", "volumes": [volume]})
        objects.put("pods", "q", "web", spec={"nodeName": "n2"})

        def token(name: str, uid: str, *audiences: str) -> AdmissionRequest:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
            spec = {"boundObjectRef": reference, "audiences": list(audiences)}
            return request("serviceaccounts", {"spec": spec}, subresource="token", user=NODE)

        await admit(chain, token("p", "uid-p", "vault"))
        assert "different node" in await self.why(chain, token("q", "uid-q"))
        assert "does not match the UID in record" in await self.why(chain, token("p", "old"))
        assert 'audience "db" not found in pod spec volume' in await self.why(chain, token("p", "uid-p", "db"))
        unbound = request("serviceaccounts", {"spec": {}}, subresource="token")
        assert await self.why(chain, unbound) == "node requested token not bound to a pod"

    async def test_asks_certificates_for_itself_only(self, chain: Chain) -> None:
        def asked(name: str) -> AdmissionRequest:
            spec = {"signerName": "kubernetes.io/kubelet-serving", "request": csr(name)}
            obj = {"metadata": {"name": "x"}, "spec": spec}
            return request("certificatesigningrequests", obj, group="certificates.k8s.io", namespace="", user=NODE)

        await admit(chain, asked("system:node:n1"))
        why = await self.why(chain, asked("system:node:n2"))
        assert why == "can only create a node CSR with CN=system:node:n1"

    async def test_keeps_to_its_lease(self, chain: Chain, objects: MemoryObjects) -> None:
        objects.put("namespaces", "kube-node-lease")
        group = "coordination.k8s.io"
        lease = {"metadata": {"name": "n2"}}
        asked = request("leases", lease, group=group, namespace="kube-node-lease")
        assert await self.why(chain, asked) == ("can only access node lease with the same name as the requesting node")


def test_unknown_plugins_are_named(objects: MemoryObjects) -> None:
    with pytest.raises(ValueError, match="--enable-admission-plugins: there is no plugin 'Magic'"):
        build(objects, "--enable-admission-plugins=Magic")


def test_plugins_can_be_turned_off(objects: MemoryObjects) -> None:
    names = [plugin.name for plugin in build(objects, "--disable-admission-plugins=ServiceAccount").plugins]
    assert "ServiceAccount" not in names
    assert names[0] == "NamespaceLifecycle"

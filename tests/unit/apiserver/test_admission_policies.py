"""What namespaces, limits and signers demand of the objects in them."""

import asyncio
import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.errors import StatusError
from apiserver.admission import Chain
from apiserver.ports import AdmissionRequest, Operation, User
from component_base.clock import ManualClock
from tests.unit.apiserver.memory_objects import START, MemoryObjects, info
from tests.unit.apiserver.test_admission import JANE, Obj, admit, build, pod, refused, request

SECURE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def objects() -> MemoryObjects:
    objects = MemoryObjects(ManualClock(START))
    objects.put("namespaces", "web")
    objects.put("serviceaccounts", "default", "web", automountServiceAccountToken=False)
    return objects


@pytest.fixture
def chain(objects: MemoryObjects) -> Chain:
    return build(objects)


class TestPodSecurity:
    def label(self, objects: MemoryObjects, **labels: str) -> None:
        metadata = {"labels": {f"pod-security.kubernetes.io/{k.replace('_', '-')}": v for k, v in labels.items()}}
        objects.put("namespaces", "web", metadata=metadata)

    async def test_without_labels_everything_goes(self, chain: Chain) -> None:
        await admit(chain, request("pods", pod(hostNetwork=True)))

    async def test_baseline(self, objects: MemoryObjects, chain: Chain) -> None:
        self.label(objects, enforce="baseline")
        await admit(chain, request("pods", pod()))
        bad = [
            {"name": "c", "securityContext": {"privileged": True}, "ports": [{"hostPort": 80}]},
            {"name": "d", "securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}},
        ]
        volumes = [{"name": "v", "hostPath": {"path": "/"}}]
        error = await refused(chain, request("pods", pod(hostPID=True, containers=bad, volumes=volumes)))
        assert error.message == (
            'pods "p" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities (container "d" '
            'must not include "NET_ADMIN" in securityContext.capabilities.add), host namespaces (hostPID=true), '
            'hostPath volumes (volume "v"), hostPort (container "c" uses hostPort 80), privileged (container "c" must '
            "not set securityContext.privileged=true)"
        )

    async def test_restricted(self, objects: MemoryObjects, chain: Chain) -> None:
        self.label(objects, enforce="restricted")
        error = await refused(chain, request("pods", pod()))
        assert error.message == (
            'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
            '(container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities '
            '(container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or '
            'container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
            'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
        )
        await admit(chain, request("pods", pod(containers=[{"name": "c", "securityContext": SECURE}])))
        root = {"name": "c", "securityContext": {**SECURE, "runAsUser": 0}}
        error = await refused(chain, request("pods", pod(containers=[root])))
        assert error.message.endswith('runAsUser=0 (container "c" must not set runAsUser=0)')

    async def test_versions(self, objects: MemoryObjects, chain: Chain) -> None:
        keepalive = pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time", "value": "1"}]})
        self.label(objects, enforce="baseline", enforce_version="v1.28")
        error = await refused(chain, request("pods", keepalive))
        assert error.message.endswith(
            'violates PodSecurity "baseline:v1.28": forbidden sysctls (net.ipv4.tcp_keepalive_time)'
        )
        self.label(objects, enforce="baseline", enforce_version="v1.29")
        await admit(chain, request("pods", keepalive))

    async def test_warns_of_templates(self, objects: MemoryObjects, chain: Chain) -> None:
        self.label(objects, enforce="baseline")
        obj = {"metadata": {"name": "d"}, "spec": {"template": {"spec": {"hostNetwork": True}}}}
        asked = request("deployments", obj, group="apps")
        await admit(chain, asked)
        assert asked.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']

    async def test_warns_of_pods_that_are_there(self, objects: MemoryObjects, chain: Chain) -> None:
        for name in ("a", "b", "c"):
            objects.put("pods", name, "web", spec={"hostNetwork": True, "containers": []})
        labels = {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}
        new = {"metadata": {"name": "web", **labels}}
        old = {"metadata": {"name": "web"}}
        asked = request("namespaces", new, old=old, operation=Operation.UPDATE, namespace="")
        await admit(chain, asked)
        assert asked.warnings == [
            'existing pods in namespace "web" violate the new PodSecurity enforce level "baseline:latest"',
            "a (and 2 other pods): host namespaces",
        ]

    async def test_labels_must_make_sense(self, chain: Chain) -> None:
        obj = {"metadata": {"name": "x", "labels": {"pod-security.kubernetes.io/enforce": "strict"}}}
        error = await refused(chain, request("namespaces", obj, namespace=""))
        assert error.code == 422
        assert "must be one of privileged, baseline, restricted" in error.message


class TestLimitRanger:
    def limits(self, objects: MemoryObjects, **limit: Any) -> None:
        objects.put("limitranges", "l", "web", spec={"limits": [{"type": "Container", **limit}]})

    async def test_completes_containers(self, objects: MemoryObjects, chain: Chain) -> None:
        self.limits(objects, default={"cpu": "1"}, defaultRequest={"cpu": "500m", "memory": "1Gi"})
        own = {"name": "d", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}
        made = await admit(chain, request("pods", pod(containers=[{"name": "c"}, own])))
        first, second = made["spec"]["containers"]
        assert first["resources"] == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1"}}
        assert second["resources"] == {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2"}}
        assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c; "
            "memory request for container d"
        )

    @pytest.mark.parametrize(
        ("limit", "resources", "text"),
        [
            ({"max": {"cpu": "1"}}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
            ({"max": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "maximum cpu usage per Container is 1, but limit is 2"),
            (
                {"min": {"memory": "1Gi"}},
                {"requests": {"memory": "1Mi"}},
                "minimum memory usage per Container is 1Gi, but request is 1Mi",
            ),
            (
                {"maxLimitRequestRatio": {"cpu": "2"}},
                {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
        ],
    )
    async def test_bounds(self, objects: MemoryObjects, chain: Chain, limit: Obj, resources: Obj, text: str) -> None:
        self.limits(objects, **limit)
        error = await refused(chain, request("pods", pod(containers=[{"name": "c", "resources": resources}])))
        assert error.message == f'pods "p" is forbidden: {text}'

    async def test_of_whole_pods_and_claims(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.put("limitranges", "l", "web", spec={"limits": [{"type": "Pod", "max": {"cpu": "1"}}]})
        two = [{"name": n, "resources": {"limits": {"cpu": "600m"}}} for n in ("c", "d")]
        error = await refused(chain, request("pods", pod(containers=two)))
        assert error.message.endswith("maximum cpu usage per Pod is 1, but limit is 1200m")
        claims = {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}
        objects.put("limitranges", "l", "web", spec={"limits": [claims]})
        claim = {"metadata": {"name": "x"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        error = await refused(chain, request("persistentvolumeclaims", claim))
        assert error.message.endswith("maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi")


class TestRuntimeClass:
    async def test_writes_overhead_and_scheduling(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.put(
            "runtimeclasses",
            "vm",
            group="node.k8s.io",
            overhead={"podFixed": {"memory": "100Mi"}},
            scheduling={"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
        )
        spec = (await admit(chain, request("pods", pod(runtimeClassName="vm", nodeSelector={"a": "b"}))))["spec"]
        assert spec["overhead"] == {"memory": "100Mi"}
        assert spec["nodeSelector"] == {"a": "b", "vm": "yes"}
        assert {"key": "vm", "operator": "Exists"} in spec["tolerations"]
        error = await refused(chain, request("pods", pod(runtimeClassName="vm", nodeSelector={"vm": "no"})))
        assert "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no" in (
            error.message
        )

    async def test_must_exist(self, chain: Chain) -> None:
        error = await refused(chain, request("pods", pod(runtimeClassName="none")))
        assert error.message.endswith('pod rejected: RuntimeClass "none" not found')


class TestCertificates:
    GROUP = "certificates.k8s.io"

    def update(self, subresource: str, user: User) -> AdmissionRequest:
        old = {"metadata": {"name": "x"}, "spec": {"signerName": "example.com/signer"}, "status": {}}
        new = {**old, "status": {"certificate": "c"}}
        return request(
            "certificatesigningrequests",
            new,
            old=old,
            group=self.GROUP,
            operation=Operation.UPDATE,
            subresource=subresource,
            user=user,
            namespace="",
        )

    @pytest.mark.parametrize(
        ("subresource", "verb", "text"), [("approval", "approve", "approve"), ("status", "sign", "sign")]
    )
    async def test_signers_name_who_may(
        self, objects: MemoryObjects, chain: Chain, subresource: str, verb: str, text: str
    ) -> None:
        error = await refused(chain, self.update(subresource, JANE))
        assert error.message.endswith(f'user not permitted to {text} requests with signerName "example.com/signer"')
        rbac = "rbac.authorization.k8s.io"
        rule = {
            "verbs": [verb],
            "apiGroups": [self.GROUP],
            "resources": ["signers"],
            "resourceNames": ["example.com/*"],
        }
        objects.put("clusterroles", "s", group=rbac, rules=[rule])
        role = {"apiGroup": rbac, "kind": "ClusterRole", "name": "s"}
        objects.put("clusterrolebindings", "s", group=rbac, roleRef=role, subjects=[{"kind": "User", "name": "jane"}])
        await admit(chain, self.update(subresource, JANE))

    async def test_no_signer_makes_masters(self, chain: Chain) -> None:
        error = await refused(chain, self.asking("system:masters"))
        assert error.message.endswith(
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
        )
        await admit(chain, self.asking("dev"))

    def asking(self, group: str) -> AdmissionRequest:
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)])
        key = ec.generate_private_key(ec.SECP256R1())
        made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        text = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
        spec = {"signerName": "kubernetes.io/kube-apiserver-client", "request": text}
        obj = {"metadata": {"name": "x"}, "spec": spec}
        return request("certificatesigningrequests", obj, group=self.GROUP, namespace="")


async def test_claims_grow_where_their_class_allows_it(objects: MemoryObjects, chain: Chain) -> None:
    def grow(phase: str) -> AdmissionRequest:
        def claim(size: str) -> Obj:
            spec = {"storageClassName": "s", "resources": {"requests": {"storage": size}}}
            return {"metadata": {"name": "c"}, "spec": spec, "status": {"phase": phase}}

        return request("persistentvolumeclaims", claim("2Gi"), old=claim("1Gi"), operation=Operation.UPDATE)

    assert "Only bound persistent volume claims" in (await refused(chain, grow("Pending"))).message
    with pytest.raises(StatusError, match="must support resize"):
        await admit(chain, grow("Bound"))
    objects.put("storageclasses", "s", group="storage.k8s.io", allowVolumeExpansion=True)
    await admit(chain, grow("Bound"))


class TestResourceQuota:
    def quota(self, objects: MemoryObjects, hard: Obj, used: Obj | None = None, name: str = "q", **spec: Any) -> None:
        status = {"hard": hard, "used": used or dict.fromkeys(hard, "0")}
        objects.put("resourcequotas", name, "web", spec={"hard": hard, **spec}, status=status)

    def used(self, objects: MemoryObjects, name: str = "q") -> Obj:
        stored = objects.get(info("resourcequotas"), "web", name)
        assert stored is not None
        return dict(stored["status"]["used"])

    def sized(self, cpu: str, name: str = "p", **spec: Any) -> Obj:
        return pod(name, containers=[{"name": "c", "resources": {"requests": {"cpu": cpu}}}], **spec)

    async def test_objects_are_charged_until_nothing_is_left(self, objects: MemoryObjects, chain: Chain) -> None:
        self.quota(objects, {"pods": "2", "requests.cpu": "1"})
        await admit(chain, request("pods", self.sized("600m")))
        assert self.used(objects) == {"pods": "1", "requests.cpu": "600m"}
        error = await refused(chain, request("pods", self.sized("500m", "q")))
        assert error.message == (
            'pods "q" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
            "limited: requests.cpu=1"
        )
        await admit(chain, request("pods", self.sized("400m", "r")))
        error = await refused(chain, request("pods", self.sized("0", "s")))
        assert "requested: pods=1, used: pods=2, limited: pods=2" in error.message

    async def test_two_at_once_do_not_take_the_same_piece(self, objects: MemoryObjects, chain: Chain) -> None:
        self.quota(objects, {"count/configmaps": "1"})
        asked = [request("configmaps", {"metadata": {"name": name}}) for name in ("a", "b")]
        results = await asyncio.gather(*(admit(chain, one) for one in asked), return_exceptions=True)
        assert sum(isinstance(result, StatusError) for result in results) == 1
        assert self.used(objects) == {"count/configmaps": "1"}

    async def test_what_a_second_quota_refuses_is_given_back(self, objects: MemoryObjects, chain: Chain) -> None:
        self.quota(objects, {"pods": "5"}, name="a")
        self.quota(objects, {"pods": "5"}, name="b")
        objects.put(
            "resourcequotas",
            "c",
            "web",
            spec={"hard": {"pods": "0"}},
            status={"hard": {"pods": "0"}, "used": {"pods": "0"}},
        )
        await refused(chain, request("pods", pod()))
        assert self.used(objects, "a") == {"pods": "0"}

    async def test_containers_must_say_what_they_need(self, objects: MemoryObjects, chain: Chain) -> None:
        self.quota(objects, {"cpu": "1", "limits.memory": "1Gi"})
        error = await refused(chain, request("pods", pod()))
        assert error.message.endswith("failed quota: q: must specify cpu for: c; limits.memory for: c")

    async def test_an_uncounted_quota_lets_nothing_pass(self, objects: MemoryObjects, chain: Chain) -> None:
        objects.put("resourcequotas", "q", "web", spec={"hard": {"pods": "5"}})
        error = await refused(chain, request("pods", pod()))
        assert error.message.endswith("status unknown for quota: q, resources: pods")

    async def test_scopes(self, objects: MemoryObjects, chain: Chain) -> None:
        self.quota(objects, {"pods": "0"}, scopes=["Terminating"])
        await admit(chain, request("pods", pod()))
        await refused(chain, request("pods", pod(activeDeadlineSeconds=5)))
        chosen = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
        self.quota(objects, {"pods": "0"}, scopeSelector=chosen)
        objects.put("priorityclasses", "high", group="scheduling.k8s.io", value=5)
        await admit(chain, request("pods", pod()))
        await refused(chain, request("pods", pod(priorityClassName="high")))

    async def test_changes_are_charged_by_their_difference(self, objects: MemoryObjects, chain: Chain) -> None:
        self.quota(objects, {"services.nodeports": "2"}, {"services.nodeports": "1"})

        def service(ports: int, kind: str = "NodePort") -> Obj:
            return {"metadata": {"name": "s"}, "spec": {"type": kind, "ports": [{"port": n} for n in range(ports)]}}

        await admit(chain, request("services", service(2), old=service(1), operation=Operation.UPDATE))
        assert self.used(objects) == {"services.nodeports": "2"}
        await refused(chain, request("services", service(3), old=service(2), operation=Operation.UPDATE))
        await admit(chain, request("services", service(3, "ClusterIP"), old=service(2), operation=Operation.UPDATE))

    async def test_a_dry_run_takes_nothing(self, objects: MemoryObjects, chain: Chain) -> None:
        self.quota(objects, {"pods": "1"})
        asked = request("pods", pod())
        asked.dry_run = True
        await admit(chain, asked)
        assert self.used(objects) == {"pods": "0"}


async def test_who_makes_the_collector_delete(objects: MemoryObjects) -> None:
    chain = build(objects, "--enable-admission-plugins=OwnerReferencesPermissionEnforcement")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u"}
    new = {"metadata": {"name": "c", "ownerReferences": [owner]}}
    old = {"metadata": {"name": "c"}}
    error = await refused(chain, request("configmaps", new, old=old, operation=Operation.UPDATE))
    assert "cannot set an ownerRef on a resource you can't delete" in error.message
    await admit(chain, request("configmaps", new))
    blocking = {"metadata": {"name": "c", "ownerReferences": [{**owner, "blockOwnerDeletion": True}]}}
    error = await refused(chain, request("configmaps", blocking))
    assert "refers to a resource you can't set finalizers on" in error.message
    masters = User("root", ("system:masters",))
    await admit(chain, request("configmaps", blocking, old=old, operation=Operation.UPDATE, user=masters))


async def test_external_addresses_can_be_forbidden(objects: MemoryObjects, chain: Chain) -> None:
    service: Obj = {"metadata": {"name": "s"}, "spec": {"externalIPs": ["192.0.2.1"]}}
    await admit(chain, request("services", service))
    strict = build(objects, "--enable-admission-plugins=DenyServiceExternalIPs")
    error = await refused(strict, request("services", service))
    assert error.message.endswith("Use of external IPs is denied by admission control.")
    await admit(strict, request("services", service, old=service, operation=Operation.UPDATE))

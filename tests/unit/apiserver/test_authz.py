"""Who may do what."""

from typing import Any

import pytest

from apimachinery.errors import StatusError
from apiserver import authz
from apiserver.authz.modes import ModeAuthorizer
from apiserver.ports import ANONYMOUS, AdmissionRequest, Attributes, Call, Operation, User, Verdict
from apiserver.tokens.access import SelfSubjectRulesReviews, SubjectAccessReviews
from component_base.flags import FlagSet
from tests.unit.apiserver.memory_objects import MemoryObjects, info

RBAC = "rbac.authorization.k8s.io"
JANE = User("jane", ("dev", "system:authenticated"))
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))


def build(objects: MemoryObjects, modes: str = "Node,RBAC") -> ModeAuthorizer:
    flags = FlagSet("apiserver", "")
    authz.declare(flags)
    return authz.build(flags.parse_or_raise([f"--authorization-mode={modes}"]), objects)


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects()


@pytest.fixture
def authorizer(objects: MemoryObjects) -> ModeAuthorizer:
    return build(objects)


def rule(verbs: str, resources: str = "", groups: str = "", **more: Any) -> dict[str, Any]:
    return {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": [*groups.split()] or [""], **more}


def grant(
    objects: MemoryObjects, name: str, subject: dict[str, str], *rules: dict[str, Any], namespace: str = ""
) -> None:
    role, binding = ("roles", "rolebindings") if namespace else ("clusterroles", "clusterrolebindings")
    objects.put(role, name, namespace, group=RBAC, rules=list(rules))
    kind = "Role" if namespace else "ClusterRole"
    reference = {"apiGroup": RBAC, "kind": kind, "name": name}
    objects.put(binding, name, namespace, group=RBAC, roleRef=reference, subjects=[subject])


def user(name: str) -> dict[str, str]:
    return {"kind": "User", "apiGroup": RBAC, "name": name}


async def allowed(authorizer: ModeAuthorizer, who: User, verb: str, resource: str = "pods", **more: str) -> bool:
    verdict, _ = await authorizer.authorize(Attributes(who, verb, resource=resource, **more))
    return verdict is Verdict.ALLOW


class TestRbac:
    async def test_nothing_is_allowed_by_itself(self, authorizer: ModeAuthorizer) -> None:
        assert not await allowed(authorizer, JANE, "get", namespace="web")

    async def test_masters_are_never_asked(self, authorizer: ModeAuthorizer) -> None:
        assert await allowed(authorizer, User("root", ("system:masters",)), "delete", "secrets", namespace="web")

    async def test_a_role_counts_in_its_namespace(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "reader", user("jane"), rule("get list", "pods"), namespace="web")
        assert await allowed(authorizer, JANE, "get", namespace="web", name="p")
        assert not await allowed(authorizer, JANE, "get", namespace="other", name="p")
        assert not await allowed(authorizer, JANE, "list")
        assert not await allowed(authorizer, JANE, "get", namespace="web", subresource="log")

    async def test_groups_and_accounts(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "g", {"kind": "Group", "name": "dev"}, rule("*", "deployments/scale", "apps"))
        grant(objects, "s", {"kind": "ServiceAccount", "name": "app"}, rule("get", "*/log"), namespace="web")
        account = User("system:serviceaccount:web:app")
        assert await allowed(authorizer, JANE, "patch", "deployments", group="apps", subresource="scale")
        assert not await allowed(authorizer, JANE, "patch", "deployments", group="apps")
        assert await allowed(authorizer, account, "get", namespace="web", subresource="log")
        assert not await allowed(authorizer, JANE, "get", namespace="web", subresource="log")

    async def test_names_and_paths(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        named = rule("get", "configmaps", resourceNames=["one"])
        paths = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/debug/*"]}
        grant(objects, "r", user("jane"), named, paths)
        assert await allowed(authorizer, JANE, "get", "configmaps", namespace="a", name="one")
        assert not await allowed(authorizer, JANE, "get", "configmaps", namespace="a", name="two")
        assert not await allowed(authorizer, JANE, "list", "configmaps", namespace="a")
        for path, expected in (("/healthz", True), ("/debug/pprof", True), ("/healthz/x", False), ("/", False)):
            verdict, _ = await authorizer.authorize(Attributes(JANE, "get", path=path))
            assert (verdict is Verdict.ALLOW) is expected, path

    async def test_rights_end_with_role_and_binding(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "reader", user("jane"), rule("get", "pods"))
        assert await allowed(authorizer, JANE, "get")
        objects.put("clusterroles", "reader", group=RBAC, rules=[])
        assert not await allowed(authorizer, JANE, "get")
        objects.put("clusterroles", "reader", group=RBAC, rules=[rule("get", "pods")])
        assert await allowed(authorizer, JANE, "get")
        await objects.delete(info("clusterrolebindings", RBAC), "", "reader")
        assert not await allowed(authorizer, JANE, "get")

    async def test_a_missing_role_is_named(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "reader", user("jane"), rule("get", "pods"))
        await objects.delete(info("clusterroles", RBAC), "", "reader")
        _, reason = await authorizer.authorize(Attributes(JANE, "get", resource="pods"))
        assert reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found'

    async def test_why_something_is_allowed(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "r", {"kind": "ServiceAccount", "name": "app"}, rule("get", "pods"), namespace="web")
        account = User("system:serviceaccount:web:app")
        _, reason = await authorizer.authorize(Attributes(account, "get", resource="pods", namespace="web"))
        assert reason == 'RBAC: allowed by RoleBinding "r/web" of Role "r" to ServiceAccount "app/web"'


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            Attributes(User("y"), "get", resource="pods", namespace="z", name="x"),
            'pods "x" is forbidden: User "y" cannot get resource "pods" in API group "" in the namespace "z"',
        ),
        (
            Attributes(User("y"), "list", group="apps", resource="deployments"),
            'deployments.apps is forbidden: User "y" cannot list resource "deployments" in API group "apps" '
            "at the cluster scope",
        ),
        (
            Attributes(User("y"), "create", resource="pods", subresource="exec", namespace="z", name="x"),
            'pods "x" is forbidden: User "y" cannot create resource "pods/exec" in API group "" in the namespace "z"',
        ),
        (Attributes(ANONYMOUS, "get", path="/<b>"), 'forbidden: User "system:anonymous" cannot get path "/&lt;b&gt;"'),
    ],
)
def test_refusals_read_as_clients_know_them(attributes: Attributes, message: str) -> None:
    error = authz.forbidden(attributes)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)


class TestNodes:
    @pytest.fixture(autouse=True)
    def pods(self, objects: MemoryObjects) -> None:
        objects.put("pods", "mine", "web", spec=POD | {"nodeName": "n1"})
        objects.put("pods", "theirs", "web", spec={"nodeName": "n2", "serviceAccountName": "b"})
        claim = {"claimRef": {"namespace": "web", "name": "data"}}
        secrets = {"csi": {"driver": "d", "nodePublishSecretRef": {"name": "mount", "namespace": "storage"}}}
        objects.put("persistentvolumes", "pv1", spec=claim | secrets)

    @pytest.mark.parametrize(
        ("verb", "resource", "name", "expected"),
        [
            ("get", "secrets", "tls", True),
            ("watch", "secrets", "env", True),
            ("get", "secrets", "pull", True),
            ("get", "secrets", "other", False),
            ("list", "secrets", "", False),
            ("update", "secrets", "tls", False),
            ("get", "configmaps", "settings", True),
            ("get", "persistentvolumeclaims", "data", True),
            ("get", "persistentvolumeclaims", "mine-scratch", True),
            ("get", "serviceaccounts", "a", True),
            ("get", "serviceaccounts", "b", False),
            ("get", "pods", "mine", True),
            ("get", "pods", "theirs", False),
            ("delete", "pods", "theirs", True),
        ],
    )
    async def test_reads_what_its_pods_need(
        self, authorizer: ModeAuthorizer, verb: str, resource: str, name: str, expected: bool
    ) -> None:
        assert await allowed(authorizer, NODE, verb, resource, namespace="web", name=name) is expected

    async def test_follows_claims_to_volumes(self, authorizer: ModeAuthorizer) -> None:
        assert await allowed(authorizer, NODE, "get", "persistentvolumes", name="pv1")
        assert await allowed(authorizer, NODE, "get", "secrets", namespace="storage", name="mount")
        other = User("system:node:n2", NODE.groups)
        assert not await allowed(authorizer, other, "get", "persistentvolumes", name="pv1")

    async def test_rights_end_with_the_pod(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        assert await allowed(authorizer, NODE, "get", "secrets", namespace="web", name="tls")
        await objects.delete(info("pods"), "web", "mine")
        verdict, reason = await authorizer.authorize(
            Attributes(NODE, "get", resource="secrets", namespace="web", name="tls")
        )
        assert verdict is Verdict.NO_OPINION
        assert reason == "no relationship found between node 'n1' and this object"

    async def test_mirror_pods_give_nothing(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        spec = {"nodeName": "n1", "volumes": [{"name": "v", "secret": {"secretName": "loot"}}]}
        objects.put("pods", "m", "web", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}, spec=spec)
        assert not await allowed(authorizer, NODE, "get", "secrets", namespace="web", name="loot")

    async def test_tokens_only_of_accounts_of_its_pods(self, authorizer: ModeAuthorizer) -> None:
        for name, expected in (("a", True), ("b", False)):
            answer = await allowed(
                authorizer, NODE, "create", "serviceaccounts", subresource="token", namespace="web", name=name
            )
            assert answer is expected

    @pytest.mark.parametrize(
        ("verb", "resource", "more", "expected"),
        [
            ("get", "nodes", {"name": "n1"}, True),
            ("get", "nodes", {"name": "n2"}, False),
            ("list", "nodes", {}, False),
            ("watch", "nodes", {"name": "n1"}, True),
            ("create", "nodes", {}, True),
            ("patch", "nodes", {"name": "n1", "subresource": "status"}, True),
            ("delete", "nodes", {"name": "n1"}, False),
            ("list", "pods", {}, False),
            ("list", "pods", {"field_selector": "spec.nodeName=n1"}, True),
            ("watch", "pods", {"field_selector": "spec.nodeName=n2"}, False),
            ("update", "leases", {"group": "coordination.k8s.io", "namespace": "kube-node-lease", "name": "n1"}, True),
            ("update", "leases", {"group": "coordination.k8s.io", "namespace": "kube-node-lease", "name": "n2"}, False),
            ("get", "leases", {"group": "coordination.k8s.io", "namespace": "default", "name": "n1"}, False),
            ("get", "csinodes", {"group": "storage.k8s.io", "name": "n1"}, True),
            ("list", "services", {}, True),
            ("create", "services", {"namespace": "web"}, False),
            ("create", "events", {"namespace": "web"}, True),
            ("create", "certificatesigningrequests", {"group": "certificates.k8s.io"}, True),
        ],
    )
    async def test_about_itself(
        self, authorizer: ModeAuthorizer, verb: str, resource: str, more: dict[str, str], expected: bool
    ) -> None:
        assert await allowed(authorizer, NODE, verb, resource, **more) is expected

    async def test_a_name_alone_makes_no_node(self, authorizer: ModeAuthorizer) -> None:
        assert not await allowed(authorizer, User("system:node:n1"), "get", "nodes", name="n1")


POD: dict[str, Any] = {
    "serviceAccountName": "a",
    "imagePullSecrets": [{"name": "pull"}],
    "containers": [
        {
            "name": "c",
            "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "settings"}}],
        }
    ],
    "volumes": [
        {"name": "tls", "projected": {"sources": [{"secret": {"name": "tls"}}]}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
    ],
}


class TestEscalation:
    def request(
        self, plural: str, obj: dict[str, Any], who: User = JANE, old: dict[str, Any] | None = None
    ) -> AdmissionRequest:
        operation = Operation.CREATE if old is None else Operation.UPDATE
        obj = {"metadata": {"name": "new", "namespace": "web"}, **obj}
        return AdmissionRequest(operation, info(plural, RBAC), "", "web", "new", obj, old, who)

    async def check(self, authorizer: ModeAuthorizer, request: AdmissionRequest) -> str:
        check = authorizer.escalation_check()
        assert check is not None
        try:
            await check.validate(request)
        except StatusError as error:
            return error.message
        return ""

    async def test_gives_away_what_it_holds(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "r", user("jane"), rule("get list", "pods pods/log"), namespace="web")
        assert not await self.check(authorizer, self.request("roles", {"rules": [rule("get", "pods")]}))
        message = await self.check(authorizer, self.request("roles", {"rules": [rule("get list delete", "pods")]}))
        assert message == (
            'roles.rbac.authorization.k8s.io "new" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) '
            "is attempting to grant RBAC permissions not currently held:\n"
            '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'
        )

    async def test_bindings_give_the_role_they_name(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        objects.put("clusterroles", "admin", group=RBAC, rules=[rule("*", "*", "*")])
        reference = {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "admin"}, "subjects": []}
        assert "not currently held" in await self.check(authorizer, self.request("rolebindings", reference))
        bind = rule("bind", "clusterroles", RBAC, resourceNames=["admin"])
        grant(objects, "binder", user("jane"), bind)
        assert not await self.check(authorizer, self.request("rolebindings", reference))

    async def test_who_may_escalate_or_is_master(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        request = self.request("roles", {"rules": [rule("*", "*", "*")]})
        assert await self.check(authorizer, request)
        request.user = User("root", ("system:masters",))
        assert not await self.check(authorizer, request)
        request.user = JANE
        grant(objects, "e", user("jane"), rule("escalate", "roles", RBAC))
        assert not await self.check(authorizer, request)

    async def test_aggregation_gathers_everything(self, authorizer: ModeAuthorizer) -> None:
        aggregation = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
        request = self.request("clusterroles", aggregation)
        request.namespace = ""
        assert "must have cluster-admin privileges to use the aggregationRule" in await self.check(authorizer, request)


class TestReviews:
    def call(self, plural: str, namespace: str = "", who: User = JANE) -> Call:
        return Call(info(plural, "authorization.k8s.io"), "", namespace, "", "create", "", who, (), {})

    async def test_about_somebody(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "reader", user("jane"), rule("get", "pods"))
        spec = {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods"}}
        call = self.call("subjectaccessreviews")
        answer = await SubjectAccessReviews(authorizer)(call, {"spec": spec})
        assert answer["status"]["allowed"]
        spec["user"] = "joe"
        answer = await SubjectAccessReviews(authorizer)(call, {"spec": spec})
        assert answer["status"] == {"allowed": False}

    async def test_needs_a_subject_and_a_question(self, authorizer: ModeAuthorizer) -> None:
        with pytest.raises(StatusError) as caught:
            await SubjectAccessReviews(authorizer)(self.call("subjectaccessreviews"), {"spec": {}})
        assert caught.value.code == 422
        assert [cause["field"] for cause in caught.value.causes] == ["spec.resourceAttributes", "spec.user"]

    async def test_local_ones_stay_in_their_namespace(self, authorizer: ModeAuthorizer) -> None:
        spec = {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "b"}}
        call = self.call("localsubjectaccessreviews", "a")
        with pytest.raises(StatusError, match=r"must match metadata\.namespace"):
            await SubjectAccessReviews(authorizer, local=True)(call, {"spec": spec})

    async def test_lists_what_one_may_do(self, objects: MemoryObjects, authorizer: ModeAuthorizer) -> None:
        grant(objects, "r", user("jane"), rule("get", "pods"), namespace="web")
        grant(objects, "c", user("jane"), {"verbs": ["get"], "nonResourceURLs": ["/version"]})
        answer = await SelfSubjectRulesReviews(authorizer)(
            self.call("selfsubjectrulesreviews"), {"spec": {"namespace": "web"}}
        )
        assert answer["status"] == {
            "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/version"]}],
            "incomplete": False,
        }


def test_modes_are_checked(objects: MemoryObjects) -> None:
    with pytest.raises(ValueError, match="'Magic' is not one of"):
        build(objects, "Magic")


async def test_always_allow(objects: MemoryObjects) -> None:
    assert await allowed(build(objects, "AlwaysAllow"), ANONYMOUS, "delete", "nodes")

"""What a fresh cluster holds, and what a restart repairs."""

from pathlib import Path

import pytest

from apiserver import authn, authz, bootstrap
from apiserver.authz.aggregation import Aggregator
from apiserver.bootstrap.cluster_roles import CLUSTER_ROLES
from apiserver.bootstrap.controller_roles import CONTROLLER_ROLES
from apiserver.ports import ANONYMOUS, Attributes, User, Verdict
from component_base.flags import FlagSet, Values
from component_base.pki import CertificateAuthority
from tests.unit.apiserver.memory_objects import MemoryObjects, info

RBAC = "rbac.authorization.k8s.io"


def values_of(*arguments: str) -> Values:
    flags = FlagSet("apiserver", "")
    authn.declare(flags)
    authz.declare(flags)
    return flags.parse_or_raise(arguments)


@pytest.fixture
async def objects() -> MemoryObjects:
    objects = MemoryObjects()
    await bootstrap.run(values_of(), objects)
    return objects


def test_the_tables_hold_all_roles_of_upstream() -> None:
    assert (len(CLUSTER_ROLES), len(CONTROLLER_ROLES)) == (31, 39)
    names = [role.name for role in (*CLUSTER_ROLES, *CONTROLLER_ROLES)]
    assert len(set(names)) == len(names)


async def test_a_fresh_cluster(objects: MemoryObjects) -> None:
    namespaces = [one["metadata"]["name"] for one in objects.list(info("namespaces"))]
    assert namespaces == ["default", "kube-node-lease", "kube-public", "kube-system"]
    classes = {
        one["metadata"]["name"]: one["value"] for one in objects.list(info("priorityclasses", "scheduling.k8s.io"))
    }
    assert classes == {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
    edit = objects.get(info("clusterroles", RBAC), "", "edit")
    assert edit is not None
    assert edit["metadata"]["labels"] == {
        "kubernetes.io/bootstrapping": "rbac-defaults",
        f"{RBAC}/aggregate-to-admin": "true",
    }
    assert edit["aggregationRule"] == {"clusterRoleSelectors": [{"matchLabels": {f"{RBAC}/aggregate-to-edit": "true"}}]}


async def test_flow_control_is_there_to_be_read(objects: MemoryObjects) -> None:
    group = "flowcontrol.apiserver.k8s.io"
    levels = {one["metadata"]["name"]: one["spec"] for one in objects.list(info("prioritylevelconfigurations", group))}
    assert len(levels) == 8
    assert levels["exempt"]["type"] == "Exempt"
    schemas = {one["metadata"]["name"]: one["spec"] for one in objects.list(info("flowschemas", group))}
    assert len(schemas) == 11
    assert all(spec["priorityLevelConfiguration"]["name"] in levels for spec in schemas.values())
    assert schemas["probes"]["rules"][0]["nonResourceRules"] == [
        {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}
    ]


async def test_a_second_start_writes_nothing(objects: MemoryObjects) -> None:
    before = objects.writes
    await bootstrap.run(values_of(), objects)
    assert objects.writes == before


async def test_what_is_missing_comes_back_and_additions_stay(objects: MemoryObjects) -> None:
    roles = info("clusterroles", RBAC)
    node = objects.get(roles, "", "system:basic-user")
    assert node is not None
    extra = {"verbs": ["get"], "nonResourceURLs": ["/mine"]}
    objects.put("clusterroles", "system:basic-user", group=RBAC, metadata=node["metadata"], rules=[extra])
    protected = {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}
    objects.put("clusterroles", "system:discovery", group=RBAC, metadata=protected, rules=[])
    await bootstrap.run(values_of(), objects)
    repaired = objects.get(roles, "", "system:basic-user")
    assert repaired is not None
    assert repaired["rules"][0] == extra
    assert len(repaired["rules"]) == 4
    left = objects.get(roles, "", "system:discovery")
    assert left is not None
    assert left["rules"] == []


async def test_a_binding_to_another_role_is_made_anew(objects: MemoryObjects) -> None:
    bindings = info("clusterrolebindings", RBAC)
    wrong = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
    objects.put("clusterrolebindings", "cluster-admin", group=RBAC, roleRef=wrong)
    await bootstrap.run(values_of(), objects)
    made = objects.get(bindings, "", "cluster-admin")
    assert made is not None
    assert made["roleRef"]["name"] == "cluster-admin"
    assert made["subjects"] == [{"kind": "Group", "apiGroup": RBAC, "name": "system:masters"}]


@pytest.mark.parametrize(
    ("user", "question", "expected"),
    [
        (ANONYMOUS, {"verb": "get", "path": "/healthz"}, True),
        (ANONYMOUS, {"verb": "get", "path": "/api"}, False),
        (User("x", ("system:authenticated",)), {"verb": "get", "path": "/apis/apps"}, True),
        (User("x", ("system:authenticated",)), {"verb": "get", "path": "/"}, False),
        (User("system:kube-scheduler"), {"verb": "create", "resource": "pods", "subresource": "binding"}, True),
        (User("system:kube-scheduler"), {"verb": "get", "resource": "secrets", "namespace": "x"}, False),
        (
            User("system:serviceaccount:kube-system:replicaset-controller"),
            {"verb": "create", "resource": "pods", "namespace": "x"},
            True,
        ),
        (User("system:kube-proxy"), {"verb": "watch", "resource": "services"}, True),
    ],
)
async def test_the_roles_do_their_work(
    objects: MemoryObjects, user: User, question: dict[str, str], expected: bool
) -> None:
    authorizer = authz.build(values_of(), objects)
    verdict, _ = await authorizer.authorize(Attributes(user, **question))
    assert (verdict is Verdict.ALLOW) is expected


async def test_tells_extension_servers_whom_to_believe(tmp_path: Path) -> None:
    authority = CertificateAuthority.create("ca").certificate_pem
    (tmp_path / "ca.crt").write_bytes(authority)
    values = values_of(
        f"--client-ca-file={tmp_path / 'ca.crt'}",
        f"--requestheader-client-ca-file={tmp_path / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
    )
    objects = MemoryObjects()
    await bootstrap.run(values, objects)
    made = objects.get(info("configmaps"), "kube-system", "extension-apiserver-authentication")
    assert made is not None
    assert made["data"]["client-ca-file"] == authority.decode()
    assert made["data"]["requestheader-allowed-names"] == '["front-proxy-client"]'
    before = objects.writes
    await bootstrap.run(values, objects)
    assert objects.writes == before


async def test_aggregated_roles_gather_rules(objects: MemoryObjects) -> None:
    await Aggregator(objects, objects.clock).gather()
    view = objects.get(info("clusterroles", RBAC), "", "view")
    admin = objects.get(info("clusterroles", RBAC), "", "admin")
    assert view is not None
    assert admin is not None
    assert len(view["rules"]) == 12
    assert all(rule in admin["rules"] for rule in view["rules"])
    extra = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}
    labels = {"labels": {f"{RBAC}/aggregate-to-view": "true"}}
    objects.put("clusterroles", "widgets", group=RBAC, metadata=labels, rules=[extra])
    await Aggregator(objects, objects.clock).gather()
    for name in ("view", "edit", "admin"):
        role = objects.get(info("clusterroles", RBAC), "", name)
        assert role is not None
        assert extra in role["rules"]
    before = objects.writes
    await Aggregator(objects, objects.clock).gather()
    assert objects.writes == before

"""Objects are refused with upstream's sentences, and only where they break a rule."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apimachinery import strategies, validation
from apimachinery.resources import RESOURCES, require
from tests.unit.apimachinery.written import created, merged, new, updated

Obj = dict[str, Any]

POD = require("v1", "pods")
SERVICE = require("v1", "services")
DEPLOYMENT = require("apps/v1", "deployments")

LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def pod(**spec: Any) -> Obj:
    return {"spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def container(**fields: Any) -> Obj:
    return pod(containers=[{"name": "c", "image": "i", **fields}])


VOLUMES = [{"name": "v", "emptyDir": {}}]


@pytest.mark.parametrize(
    "body",
    [
        pod(),
        pod(hostNetwork=True, containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]),
        pod(
            volumes=VOLUMES, containers=[{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/"}]}]
        ),
        pod(
            volumes=[
                {"name": "a", "configMap": {"name": "x", "items": [{"key": "k", "path": "d/k"}]}},
                {"name": "b", "secret": {"secretName": "x"}},
                {"name": "c", "hostPath": {"path": "/etc"}},
                {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"name": "e", "persistentVolumeClaim": {"claimName": "x"}},
                {"name": "f"},
            ]
        ),
        pod(
            initContainers=[
                {"name": "s", "image": "i", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["a"]}}}
            ]
        ),
        container(
            env=[
                {"name": "A", "value": "b"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a.b/c']"}}},
                {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            livenessProbe={"httpGet": {"port": "web"}},
            readinessProbe={"tcpSocket": {"port": 80}, "successThreshold": 2},
            lifecycle={"preStop": {"sleep": {"seconds": 3}}},
            resources={
                "requests": {"cpu": "10m", "memory": "1Mi"},
                "limits": {"memory": "2Mi", "example.com/gpu": "1"},
            },
            securityContext={
                "runAsUser": 1000,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        ),
        pod(
            tolerations=[
                {"operator": "Exists"},
                {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5},
            ],
            nodeSelector={"a": "b"},
            affinity={
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}]
                    }
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
                    ]
                },
            },
            topologySpreadConstraints=[
                {
                    "maxSkew": 1,
                    "topologyKey": "zone",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"a": "b"}},
                    "matchLabelKeys": ["pod-template-hash"],
                }
            ],
        ),
        pod(
            dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.10"], "searches": ["a.b."], "options": [{"name": "x"}]}
        ),
    ],
)
def test_accepts_pods(body: Obj) -> None:
    assert created(POD, body) == []


@pytest.mark.parametrize(
    ("body", "complaints"),
    [
        ({"spec": {}}, ["spec.containers: Required value"]),
        (pod(containers=[{"name": "c"}]), ["spec.containers[0].image: Required value"]),
        (pod(containers=[{"image": "i"}]), ["spec.containers[0].name: Required value"]),
        (pod(containers=[{"name": "C", "image": "i"}]), [f'spec.containers[0].name: Invalid value: "C": {LABEL_RULE}']),
        (
            pod(containers=[{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]),
            ['spec.containers[1].name: Duplicate value: "c"'],
        ),
        (
            container(image=" i"),
            ['spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace'],
        ),
        (
            container(volumeMounts=[{"name": "v", "mountPath": "/a"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (
            container(ports=[{"containerPort": 0}, {"containerPort": 70000}, {"containerPort": 1, "protocol": "X"}]),
            [
                "spec.containers[0].ports[0].containerPort: Required value",
                "spec.containers[0].ports[1].containerPort: Invalid value: 70000: "
                "must be between 1 and 65535, inclusive",
                'spec.containers[0].ports[2].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
            ],
        ),
        (
            container(ports=[{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]),
            ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"'],
        ),
        (
            container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            container(resources={"limits": {"gpu": "1"}}),
            [
                'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": '
                "must be a standard resource type or fully qualified",
                'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": '
                "must be a standard resource for containers",
                'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": '
                "must be a standard resource type or fully qualified",
                'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu": '
                "must be a standard resource for containers",
            ],
        ),
        (
            container(resources={"requests": {"example.com/a": "1500m"}, "limits": {"example.com/a": "1500m"}}),
            [
                'spec.containers[0].resources.limits[example.com/a]: Invalid value: "1500m": must be an integer',
                'spec.containers[0].resources.requests[example.com/a]: Invalid value: "1500m": must be an integer',
            ],
        ),
        (
            container(resources={"requests": {"example.com/a": "1"}}),
            ["spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"],
        ),
        (
            container(livenessProbe={}),
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}),
            ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            container(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": '
                "error converting fieldPath: field label not supported: spec.x"
            ],
        ),
        (
            container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": '
                'supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", '
                '"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
            ],
        ),
        (
            container(imagePullPolicy="Sometimes"),
            [
                'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": '
                'supported values: "Always", "IfNotPresent", "Never"'
            ],
        ),
        (
            container(securityContext={"runAsUser": -1}),
            [
                "spec.containers[0].securityContext.runAsUser: Invalid value: -1: "
                "must be between 0 and 2147483647, inclusive"
            ],
        ),
        (
            pod(restartPolicy="Maybe"),
            ['spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'],
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            pod(volumes=[{"name": "v", "hostPath": {"path": "a/../b"}}]),
            ["spec.volumes[0].hostPath.path: Invalid value: \"a/../b\": must not contain '..'"],
        ),
        (
            pod(initContainers=[{"name": "i", "image": "i", "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}]),
            [
                "spec.initContainers[0].lifecycle: Forbidden: "
                "may not be set for init containers without restartPolicy=Always"
            ],
        ),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "i"}]),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            pod(nodeName="n", schedulingGates=[{"name": "g"}]),
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
            ["spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"],
        ),
        (
            pod(activeDeadlineSeconds=0),
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            pod(dnsPolicy="None"),
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            pod(securityContext={"sysctls": [{"name": "a", "value": "1"}, {"name": "a", "value": "1"}]}),
            ['spec.securityContext.sysctls[1].name: Duplicate value: "a"'],
        ),
        (
            pod(os={"name": "windows"}, securityContext={"runAsUser": 1}),
            ["spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod"],
        ),
        (
            pod(hostUsers=False, hostNetwork=True),
            ["spec.hostNetwork: Forbidden: when `hostUsers` is false"],
        ),
        (
            {**pod(), "metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}},
            [
                'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": '
                "must set spec.nodeName if mirror pod annotation is set"
            ],
        ),
        (
            {**pod(), "metadata": {"name": "Bad", "finalizers": ["mine"]}},
            [
                'metadata.name: Invalid value: "Bad": a lowercase RFC 1123 subdomain must consist of lower case '
                "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
                "'example.com', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".replace("\\\\", "\\"),
                'metadata.finalizers[0]: Invalid value: "mine": '
                "name is neither a standard finalizer name nor is it fully qualified",
            ],
        ),
    ],
)
def test_refuses_pods(body: Obj, complaints: list[str]) -> None:
    assert created(POD, body) == complaints


def test_pod_updates_may_change_images_and_add_tolerations() -> None:
    change = {
        "spec": {
            "containers": [{**new(POD, pod())["spec"]["containers"][0], "image": "other"}],
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "activeDeadlineSeconds": 5,
        }
    }
    assert updated(POD, pod(), change) == []


def test_pod_updates_may_change_nothing_else() -> None:
    (complaint,) = updated(POD, pod(), {"spec": {"nodeName": "n"}})
    assert complaint.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
    )
    assert "spec.nodeName" in complaint


@pytest.mark.parametrize(
    ("body", "change", "complaint"),
    [
        (
            pod(),
            {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}},
            "spec.containers: Forbidden: pod updates may not add or remove containers",
        ),
        (
            pod(tolerations=[{"key": "a", "operator": "Exists"}]),
            {"spec": {"tolerations": []}},
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ),
        (
            pod(activeDeadlineSeconds=5),
            {"spec": {"activeDeadlineSeconds": 6}},
            "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value",
        ),
        (
            pod(schedulingGates=[{"name": "a"}]),
            {"spec": {"schedulingGates": [{"name": "b"}]}},
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'",
        ),
        (pod(), {"metadata": {"uid": "other"}}, 'metadata.uid: Invalid value: "other": field is immutable'),
        (
            pod(),
            {"metadata": {"resourceVersion": None}},
            'metadata.resourceVersion: Invalid value: "": must be specified for an update',
        ),
    ],
)
def test_refuses_pod_updates(body: Obj, change: Obj, complaint: str) -> None:
    assert complaint in updated(POD, body, change)


def resized(body: Obj, change: Obj) -> list[str]:
    old = new(POD, body)
    old["metadata"]["resourceVersion"] = "1"
    obj = merged(copy.deepcopy(old), change)
    strategies.prepare_subresource_update(POD, "resize", obj, old)
    return [str(error) for error in validation.validate_subresource_update(POD, "resize", obj, old)]


def test_resize_changes_amounts_only() -> None:
    body = container(resources={"requests": {"cpu": "1"}})
    bigger = {"name": "c", "image": "ignored", "resources": {"requests": {"cpu": "2"}}}
    assert resized(body, {"spec": {"containers": [bigger]}}) == []
    grown = {"name": "c", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2", "memory": "1Gi"}}}
    assert resized(body, {"spec": {"containers": [grown]}}) == []
    none = {"name": "c", "resources": {}}
    assert resized(body, {"spec": {"containers": [none]}}) == [
        'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
    ]


def service(**spec: Any) -> Obj:
    return {"spec": {"ports": [{"port": 80}], **spec}}


@pytest.mark.parametrize(
    "body",
    [
        service(),
        service(clusterIP="None", ports=[]),
        service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]),
        service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8"]),
        {"spec": {"type": "ExternalName", "externalName": "a.example."}},
        service(sessionAffinity="ClientIP"),
        service(ports=[{"name": "a", "port": 80, "targetPort": "web"}, {"name": "b", "port": 81, "protocol": "UDP"}]),
    ],
)
def test_accepts_services(body: Obj) -> None:
    assert created(SERVICE, body) == []


@pytest.mark.parametrize(
    ("body", "complaints"),
    [
        ({"spec": {}}, ["spec.ports: Required value"]),
        (
            service(ports=[{"port": 80}, {"port": 81}]),
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            service(ports=[{"port": 0}]),
            [
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            service(type="Odd"),
            [
                'spec.type: Unsupported value: "Odd": supported values: '
                '"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        (
            service(ports=[{"port": 80, "nodePort": 30000}]),
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        ({"spec": {"type": "ExternalName"}}, ["spec.externalName: Required value"]),
        (
            service(type="NodePort", clusterIP="None"),
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            service(clusterIP="10.0.0"),
            [
                'spec.clusterIPs[0]: Invalid value: "10.0.0": '
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            ],
        ),
        (
            service(externalIPs=["127.0.0.1"]),
            [
                'spec.externalIPs[0]: Invalid value: "127.0.0.1": '
                "may not be in the loopback range (127.0.0.0/8, ::1/128)"
            ],
        ),
        (
            service(externalTrafficPolicy="Local"),
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
        ),
        (
            service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 0}}),
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: "
                "must be greater than 0 and less than 86400"
            ],
        ),
        (
            {**service(), "metadata": {"name": "a.b"}},
            ['metadata.name: Invalid value: "a.b": must not contain dots'],
        ),
    ],
)
def test_refuses_services(body: Obj, complaints: list[str]) -> None:
    assert created(SERVICE, body) == complaints


def test_service_address_is_fixed_once_given() -> None:
    assert updated(SERVICE, service(clusterIP="10.96.0.5"), {"spec": {"clusterIP": "10.96.0.6"}}) == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'
    ]
    assert updated(SERVICE, service(clusterIP="10.96.0.5"), {"spec": {"clusterIP": None, "clusterIPs": None}}) == []


def test_service_becoming_external_drops_its_address() -> None:
    old = new(SERVICE, service(clusterIP="10.96.0.5"))
    obj = merged(copy.deepcopy(old), {"spec": {"type": "ExternalName", "externalName": "a.example", "ports": None}})
    old["metadata"]["resourceVersion"] = obj["metadata"]["resourceVersion"] = "1"
    strategies.prepare_update(SERVICE, obj, old)
    assert "clusterIP" not in obj["spec"]
    assert [str(error) for error in validation.validate_update(SERVICE, obj, old)] == []


TEMPLATE: Obj = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
SELECTOR: Obj = {"matchLabels": {"app": "web"}}


def workload(**spec: Any) -> Obj:
    return {"spec": {"selector": SELECTOR, "template": TEMPLATE, **spec}}


@pytest.mark.parametrize("resource", ["deployments", "replicasets", "statefulsets", "daemonsets"])
def test_workloads_select_their_own_pods(resource: str) -> None:
    info = require("apps/v1", resource)
    assert created(info, workload()) == []
    mismatch = (
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
    )
    assert created(info, workload(selector={"matchLabels": {"app": "other"}})) == [mismatch]
    without = created(info, workload(selector=None))
    assert mismatch in without
    assert ("spec.selector: Required value" in without) == (resource != "daemonsets")
    word = {"deployments": "deployment", "replicasets": "deployment", "statefulsets": "statefulset"}.get(
        resource, "daemonset"
    )
    assert f"spec.selector: Invalid value: {{}}: empty selector is invalid for {word}" in created(
        info, workload(selector={})
    )
    never = workload(template=merged(copy.deepcopy(TEMPLATE), {"spec": {"restartPolicy": "Never"}}))
    assert created(info, never) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    ]


def test_selectors_of_workloads_are_fixed() -> None:
    change = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}}
    for resource in ("deployments", "replicasets", "daemonsets"):
        complaints = updated(require("apps/v1", resource), workload(), change)
        assert complaints == ['spec.selector: Invalid value: {"matchLabels":{"app":"web","a":"b"}}: field is immutable']
    assert updated(require("apps/v1", "statefulsets"), workload(), {"spec": {"serviceName": "s"}}) == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
        "forbidden"
    ]


@pytest.mark.parametrize(
    ("spec", "complaints"),
    [
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
    ],
)
def test_refuses_deployments(spec: Obj, complaints: list[str]) -> None:
    assert created(DEPLOYMENT, workload(**spec)) == complaints


def test_every_built_in_kind_can_be_judged_when_empty() -> None:
    for info in RESOURCES:
        created(info, {})
        updated(info, {}, {})

"""What pods can ask for, each thing on real containers: init containers, environment, volumes, limits, probes, hooks,
names, pulls. The pods of one test start together, so that their waits overlap.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import NODE_IP, ROOT, Cluster, Kubectl, eventually, is_ready, need

IMAGE = "skiff.local/toolbox:latest"
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
MANY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOUR: blue}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {PASSWORD: hush}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  sessionAffinity: ClientIP
  selector: {app: many}
  ports: [{name: http, port: 80, targetPort: web}]
---
apiVersion: v1
kind: Service
metadata: {name: head}
spec: {clusterIP: None, selector: {app: many}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: kubernetes.default.svc.cluster.local}
---
apiVersion: v1
kind: Pod
metadata: {name: many, labels: {app: many}, annotations: {note: hi}}
spec:
  hostname: first
  subdomain: head
  terminationGracePeriodSeconds: 2
  volumes:
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: shared, emptyDir: {}}
  - name: told
    downwardAPI:
      items:
      - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      - {path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}}
  - name: mixed
    projected:
      sources:
      - configMap: {name: settings}
      - secret: {name: keys}
      - serviceAccountToken: {path: vault, audience: vault, expirationSeconds: 700}
  initContainers:
  - name: one
    image: IMAGE
    command: [sh, -c, "echo one >> /shared/order"]
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: sidecar
    image: IMAGE
    restartPolicy: Always
    command: [sh, -c, "echo sidecar >> /shared/order; touch /tmp/up; FOREVER"]
    startupProbe: {exec: {command: [test, -f, /tmp/up]}, periodSeconds: 1, timeoutSeconds: 9, failureThreshold: 30}
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: two
    image: IMAGE
    command: [sh, -c, "echo two >> /shared/order"]
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, "mkdir -p /web; echo I am $(POD) > /web/index.html; httpd -p 8080 -h /web; FOREVER"]
    ports: [{name: web, containerPort: 8080}]
    env:
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
    - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: PASSWORD}}}
    - {name: MADE, value: "$(NOTE)-$(UNKNOWN)-$$(NOTE)"}
    envFrom: [{prefix: X_, configMapRef: {name: settings}}]
    resources: {limits: {cpu: 250m, memory: 64Mi}}
    startupProbe: {tcpSocket: {port: web}, periodSeconds: 1, failureThreshold: 60}
    readinessProbe: {httpGet: {path: /, port: web}, periodSeconds: 1}
    livenessProbe:
      exec: {command: [test, "!", -e, /tmp/ill]}
      periodSeconds: 1
      timeoutSeconds: 20
      failureThreshold: 1
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo started > /shared/hook"]}}
      preStop: {exec: {command: [sh, -c, "echo stopping > /proc/1/fd/1"]}}
    volumeMounts:
    - {name: memory, mountPath: /memory}
    - {name: shared, mountPath: /shared}
    - {name: told, mountPath: /told}
    - {name: mixed, mountPath: /mixed}
""".replace("FOREVER", FOREVER).replace("IMAGE", IMAGE)
LOOK = """
env; cat /shared/order /shared/hook /told/labels; echo; cat /told/cpu; echo; ls /mixed; grep /memory /proc/mounts
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; true
"""


def account(kubectl: Kubectl, namespace: str) -> None:
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", namespace), "the default account exists")


def apply(kubectl: Kubectl, namespace: str, text: str) -> None:
    account(kubectl, namespace)
    kubectl("apply", "-n", namespace, "-f", "-", input=text)


def pod(kubectl: Kubectl, namespace: str, name: str) -> Any:
    return kubectl.json("get", "pod", name, "-n", namespace)


def ready(kubectl: Kubectl, namespace: str, name: str) -> Any:
    def look() -> Any:
        found = pod(kubectl, namespace, name)
        return found if is_ready(found) else None

    return eventually(look, f"{name} is ready")


def told(kubectl: Kubectl, namespace: str, name: str, reason: str) -> str:
    selector = f"involvedObject.name={name},reason={reason}"
    return kubectl("get", "events", "-n", namespace, "--field-selector", selector, "-o", "jsonpath={..message}").stdout


def test_a_pod_that_uses_most_of_what_there_is(newest: Kubectl, namespace: str) -> None:
    def run(script: str) -> str:
        return newest("exec", "-n", namespace, "many", "-c", "main", "--", "sh", "-c", script).stdout

    apply(newest, namespace, MANY)
    status = ready(newest, namespace, "many")["status"]
    lines = run(LOOK).splitlines()
    environment = ("POD=many", "NOTE=hi", f"HOST={NODE_IP}", f"LIMIT={64 << 20}", "PASSWORD=hush", "X_COLOUR=blue")
    assert {*environment, "MADE=hi-$(UNKNOWN)-$(NOTE)", "WEB_SERVICE_PORT_HTTP=80"} <= set(lines)
    first = lines.index("one")
    assert lines[first : first + 6] == ["one", "sidecar", "two", "started", 'app="many"', "250"]
    assert {"COLOUR", "PASSWORD", "vault", str(64 << 20)} <= set(lines)
    assert {"25000", "25000 100000"} & set(lines)
    assert any(line.startswith("tmpfs /memory") and "size=8192k" in line for line in lines)
    look_up_names(newest, namespace, status["podIP"], run)
    ask_the_apiserver(newest, namespace, run)
    run("touch /tmp/ill")
    eventually(lambda: pod(newest, namespace, "many")["status"]["containerStatuses"][0]["restartCount"] == 1, "restart")
    eventually(lambda: "failed liveness probe" in told(newest, namespace, "many", "Killing"), "the restart is told")
    newest("debug", "-n", namespace, "many", f"--image={IMAGE}", "--target=main", "-c", "look", "--", "ps")
    eventually(lambda: "httpd" in newest("logs", "-n", namespace, "many", "-c", "look").stdout, "debugging sees it")


def look_up_names(kubectl: Kubectl, namespace: str, address: str, run: Any) -> None:
    zone = f"{namespace}.svc.cluster.local"
    service = kubectl.json("get", "service", "web", "-n", namespace)["spec"]
    questions = (
        f"for n in web.{zone} first.head.{zone} elsewhere.{zone}; do nslookup $n; done; nslookup -type=srv "
        f"_http._tcp.web.{zone}; nslookup -type=srv _http._tcp.head.{zone}; nslookup {address}"
    )
    wanted = (
        f"Address: {service['clusterIP']}",
        f"Name:\tfirst.head.{zone}\nAddress: {address}",
        "canonical name = kubernetes.default.svc.cluster.local",
        f"service = 0 100 80 web.{zone}",
        f"service = 0 100 8080 first.head.{zone}",
        f"in-addr.arpa\tname = first.head.{zone}",
    )

    def missing() -> list[str]:
        answered = run(questions)
        return [part for part in wanted if part not in answered]

    eventually(lambda: not missing(), "names and addresses are known a moment after the pod is ready")
    through = [
        f"http://web.{zone}",
        f"http://{NODE_IP}:{service['ports'][0]['nodePort']}",
        f"http://first.head.{zone}:8080",
    ]
    for url in through:  # itself, through its own Service
        eventually(partial(_says, run, url, "I am many\n"), url)


def _says(run: Any, url: str, text: str) -> bool:
    return bool(run(f"wget -qO- {url}") == text)


def ask_the_apiserver(kubectl: Kubectl, namespace: str, run: Any) -> None:
    """With what the pod was given: its token and the authority's certificate."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    certificate = kubectl.cluster.folder.parent / f"{namespace}.crt"
    certificate.write_text(run(f"cat {folder}/ca.crt"))
    api = f"https://{run('echo $KUBERNETES_SERVICE_HOST').strip()}/api/v1/namespaces/{namespace}/pods"
    bearer = {token: f"Authorization: Bearer {run(f'cat {token}')}" for token in (f"{folder}/token", "/mixed/vault")}
    answers = [
        json.loads(kubectl.cluster.run("curl", "-s", "--cacert", certificate, "-H", header, api).stdout)["message"]
        for header in bearer.values()
    ]
    assert f'User "system:serviceaccount:{namespace}:default" cannot list resource "pods"' in answers[0]
    assert answers[1] == "Unauthorized"  # a token for another audience


TROUBLED = """
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec:
  containers: [{name: c, image: IMAGE, command: [sh, -c, "echo why > /dev/termination-log; exit 7"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: unconfigured}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: IMAGE, envFrom: [{configMapRef: {name: absent}}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: unmounted}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: keys, secret: {secretName: absent}}]
  containers: [{name: c, image: IMAGE, volumeMounts: [{name: keys, mountPath: /keys}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: unplaced}
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: {disk: NAMESPACE}
  containers: [{name: c, image: IMAGE}]
---
apiVersion: v1
kind: Pod
metadata: {name: unpulled}
spec:
  containers: [{name: c, image: skiff.local/nothing, imagePullPolicy: Never}]
---
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  activeDeadlineSeconds: 1
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: IMAGE}]
""".replace("IMAGE", IMAGE)


def test_what_is_wrong_with_a_pod_is_told_and_mended_without_a_new_one(newest: Kubectl, namespace: str) -> None:
    def waiting(name: str) -> str:
        (status,) = pod(newest, namespace, name)["status"]["containerStatuses"]
        return str(status["state"].get("waiting", {}).get("reason"))

    apply(newest, namespace, TROUBLED.replace("NAMESPACE", namespace))
    eventually(lambda: waiting("crashing") == "CrashLoopBackOff", "crashes are held back")
    last = pod(newest, namespace, "crashing")["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["message"], last["reason"]) == (7, "why\n", "Error")
    eventually(lambda: waiting("unconfigured") == "CreateContainerConfigError", "a missing ConfigMap is told")
    eventually(lambda: waiting("unpulled") == "ErrImageNeverPull", "an image that is not there is told")
    mount = 'MountVolume.SetUp failed for volume "keys" : secret "absent" not found'
    eventually(
        lambda: told(newest, namespace, "unmounted", "FailedMount").startswith(mount), "a missing Secret is told"
    )
    place = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    eventually(lambda: told(newest, namespace, "unplaced", "FailedScheduling").startswith(place), "no node is told")
    eventually(lambda: pod(newest, namespace, "late")["status"].get("reason") == "DeadlineExceeded", "its time is over")
    newest("create", "configmap", "absent", "-n", namespace)
    newest("create", "secret", "generic", "absent", "-n", namespace)
    newest("label", "node", "--all", f"disk={namespace}")
    for name in ("unconfigured", "unmounted", "unplaced"):
        ready(newest, namespace, name)
    newest("label", "node", "--all", "disk-")


SPEAK = """
import grpc, concurrent.futures as futures
class Health(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: bytes((8, 1)))
server = grpc.server(futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Health(),))
server.add_insecure_port("ADDRESS:39090")
server.start()
server.wait_for_termination()
""".replace("ADDRESS", NODE_IP)
ASKED = f"""
apiVersion: v1
kind: Pod
metadata: {{name: asked}}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: {IMAGE}, command: [sleep, "1000"], readinessProbe: {{grpc: {{port: 39090}}, periodSeconds: 1}}}}
"""


def test_grpc_probes_on_the_hosts_network(newest: Kubectl, namespace: str) -> None:
    apply(newest, namespace, ASKED)
    eventually(lambda: "39090" in told(newest, namespace, "asked", "Unhealthy"), "the probe fails at first")
    service = newest.cluster.popen(sys.executable, "-c", SPEAK)
    try:
        assert ready(newest, namespace, "asked")["status"]["podIP"] == NODE_IP
    finally:
        service.kill()
        service.wait()


PUSH = """
import asyncio, pathlib
from kubelet.cri_shim.toolbox_image import toolbox_image
from tests.integration.cri_shim.registry import Registry
asyncio.run(Registry("127.0.0.1:5001", pathlib.Path("/"), None).push(toolbox_image(), "team/tool", "v1"))
"""


@pytest.fixture
def registry(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    need(shutil.which("docker-registry") is not None, "docker-registry is missing; `make setup` installs it")
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}}
    settings = {"version": "0.1", "storage": storage, "http": {"addr": "127.0.0.1:5001"}}
    (tmp_path / "config.yml").write_text(json.dumps(settings))
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = cluster.popen("docker-registry", "serve", tmp_path / "config.yml", **quiet)
    try:
        eventually(lambda: cluster.run("curl", "-sf", "http://127.0.0.1:5001/v2/"), "the registry answers")
        cluster.run(sys.executable, "-c", PUSH, cwd=ROOT)
        yield "127.0.0.1:5001/team/tool"
    finally:
        process.terminate()
        process.wait()


def test_images_are_pulled_from_a_registry(newest: Kubectl, namespace: str, registry: str) -> None:
    account(newest, namespace)
    newest("run", "pulled", "-n", namespace, f"--image={registry}:v1")
    newest("run", "missing", "-n", namespace, f"--image={registry}:v2")
    status = ready(newest, namespace, "pulled")["status"]["containerStatuses"][0]
    assert status["imageID"].startswith(f"{registry}@sha256:")
    eventually(lambda: "not found" in told(newest, namespace, "missing", "Failed"), "a missing tag is told")


def test_the_store_holds_what_etcdctl_can_read(newest: Kubectl, namespace: str) -> None:
    need(shutil.which("etcdctl") is not None, "etcdctl is missing; `make setup` installs it")
    newest("create", "configmap", "read", "-n", namespace, "--from-literal=a=b")
    pki = newest.cluster.folder / "pki"
    client = pki / "apiserver-etcd-client"
    result = newest.cluster.run(
        *("env", "ETCDCTL_API=3", "etcdctl", "--endpoints=https://127.0.0.1:2379", f"--cacert={pki}/etcd/ca.crt"),
        *(f"--cert={client}.crt", f"--key={client}.key", "-w", "json"),
        *("get", f"/registry/configmaps/{namespace}/read"),
    )
    (found,) = json.loads(result.stdout)["kvs"]
    assert json.loads(base64.b64decode(found["value"]))["data"] == {"a": "b"}


def test_events_say_which_controller_acted(newest: Kubectl, namespace: str) -> None:
    account(newest, namespace)
    newest("create", "deployment", "idle", "-n", namespace, f"--image={IMAGE}")

    def sources() -> dict[str, str]:
        events = newest.json("get", "events", "-n", namespace)["items"]
        return {event["involvedObject"]["kind"]: event["source"]["component"] for event in events}

    wanted = {"Deployment": "deployment-controller", "ReplicaSet": "replicaset-controller", "Pod": "kubelet"}
    eventually(lambda: wanted.items() <= sources().items(), "each is told by its own controller")

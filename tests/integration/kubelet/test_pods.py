"""Pods on a real containerd, from the API's wish to the API's status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubelet.pod import from_object
from tests.integration.kubelet.conftest import BUSYBOX, Kubelet

pytestmark = pytest.mark.root

WEB = "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


def container(command: str, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sh", "-c", command], **more}


async def test_a_pod_with_env_configmap_and_probe_becomes_ready_and_goes(kubelet: Kubelet) -> None:
    api = kubelet.api
    api.put(
        "/api/v1/namespaces/default/configmaps/settings",
        {"kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}, "data": {"color": "green"}},
    )
    probe = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    path = api.pod(
        "web",
        {
            "containers": [
                container(
                    "echo color=$(cat /etc/settings/color) name=$NAME; " + WEB,
                    env=[{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    volumeMounts=[{"name": "settings", "mountPath": "/etc/settings"}],
                    readinessProbe=probe,
                )
            ],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    )
    await kubelet.until(lambda: api.condition(path, "Ready") == "True")
    status = api.status(path)
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.97.8.")
    assert status["containerStatuses"][0]["state"].keys() == {"running"}
    assert [r for r in kubelet.events.reasons if r != "Unhealthy"] == ["Pulled", "Created", "Started"]
    (log,) = kubelet.agent.settings.pod_logs.glob("default_web_*/a/0.log")
    assert "color=green name=web" in log.read_text()
    api.delete_pod(path)
    await kubelet.until(lambda: path not in api.objects and not kubelet.agent.fleet.workers)
    assert not list((kubelet.agent.settings.root / "pods").iterdir())
    assert not list(kubelet.agent.settings.pod_logs.iterdir())


def ready(kubelet: Kubelet, path: str) -> bool:
    return kubelet.api.condition(path, "Ready") == "True"


def statuses(kubelet: Kubelet, path: str, key: str = "containerStatuses") -> dict[str, Any]:
    return {s["name"]: s for s in kubelet.api.status(path).get(key) or ()}


def log_of(kubelet: Kubelet, pattern: str) -> str:
    """What the containers wrote, without the stamps."""
    files = sorted(kubelet.agent.settings.pod_logs.glob(pattern))
    return "".join(line.split(" ", 3)[3] for file in files for line in file.read_text().splitlines(keepends=True))


async def test_init_containers_then_sidecar_then_the_rest(kubelet: Kubelet) -> None:
    share = [{"name": "share", "mountPath": "/share"}]
    path = kubelet.api.pod(
        "steps",
        {
            "restartPolicy": "Never",
            "initContainers": [
                container("echo one >> /share/order", "one", volumeMounts=share, image=BUSYBOX),
                container(
                    "trap 'exit 0' TERM; echo side >> /share/order; while :; do sleep 0.1; done",
                    "side",
                    volumeMounts=share,
                    restartPolicy="Always",
                    image=BUSYBOX,
                ),
                container(
                    # A sidecar counts as started once its process runs, whether or not that has said anything.
                    "until grep -q side /share/order; do sleep 0.1; done; echo two >> /share/order",
                    "two",
                    volumeMounts=share,
                    image=BUSYBOX,
                ),
            ],
            "containers": [container("echo main >> /share/order; cat /share/order", volumeMounts=share)],
            "volumes": [{"name": "share", "emptyDir": {"medium": "Memory"}}],
        },
    )
    await kubelet.until(lambda: kubelet.api.status(path).get("phase") == "Succeeded")
    assert log_of(kubelet, "default_steps_*/a/0.log") == "one\nside\ntwo\nmain\n"
    inits = statuses(kubelet, path, "initContainerStatuses")
    assert inits["one"]["state"]["terminated"]["reason"] == "Completed"
    assert inits["side"]["state"]["terminated"]["exitCode"] == 0
    assert kubelet.api.condition(path, "Initialized") == "True"
    assert kubelet.api.condition(path, "Ready") == "False"


async def test_a_crashing_container_is_restarted_and_then_backs_off(kubelet: Kubelet) -> None:
    path = kubelet.api.pod(
        "crash",
        {
            "containers": [
                container(
                    "echo last words > /dev/termination-log; exit 3", terminationMessagePath="/dev/termination-log"
                )
            ]
        },
    )

    def backing_off() -> bool:
        state = statuses(kubelet, path).get("a", {}).get("state", {})
        return bool(state.get("waiting", {}).get("reason") == "CrashLoopBackOff")

    await kubelet.until(backing_off)
    status = statuses(kubelet, path)["a"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["message"] == "last words\n"
    assert (
        "back-off 10s restarting failed container=a pod=crash_default(uid-crash)"
        in status["state"]["waiting"]["message"]
    )
    assert kubelet.api.status(path)["phase"] == "Running"
    assert "BackOff" in kubelet.events.reasons


async def test_a_failed_liveness_probe_restarts_the_container(kubelet: Kubelet) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    path = kubelet.api.pod(
        "sick",
        {
            "containers": [
                container(
                    "touch /tmp/alive; sleep 2; rm /tmp/alive; sleep 1000",
                    livenessProbe=probe | {"initialDelaySeconds": 1},
                )
            ]
        },
    )
    await kubelet.until(lambda: statuses(kubelet, path).get("a", {}).get("restartCount") == 1)
    assert ("Normal", "Killing", "Container a failed liveness probe, will be restarted") in kubelet.events.seen
    assert "Unhealthy" in kubelet.events.reasons


async def test_prestop_runs_within_the_grace_period(kubelet: Kubelet, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    hook = "until test -e /out/armed; do sleep 0.1; done; echo prestop >> /out/file"
    path = kubelet.api.pod(
        "stopper",
        {
            "terminationGracePeriodSeconds": 30,
            "containers": [
                container(
                    "trap 'echo term >> /out/file; exit 0' TERM; touch /out/armed; while :; do sleep 0.1; done",
                    lifecycle={"preStop": {"exec": {"command": ["sh", "-c", hook]}}},
                    volumeMounts=[{"name": "out", "mountPath": "/out"}],
                )
            ],
            "volumes": [{"name": "out", "hostPath": {"path": str(tmp_path / "out"), "type": "Directory"}}],
        },
    )
    await kubelet.until(lambda: ready(kubelet, path))
    kubelet.api.delete_pod(path)
    await kubelet.until(lambda: path not in kubelet.api.objects)
    assert (tmp_path / "out" / "file").read_text() == "prestop\nterm\n"


async def test_a_shortened_grace_period_ends_a_stubborn_pod(kubelet: Kubelet) -> None:
    path = kubelet.api.pod(
        "stubborn",
        {"terminationGracePeriodSeconds": 600, "containers": [container("trap '' TERM; while :; do sleep 0.1; done")]},
    )
    await kubelet.until(lambda: ready(kubelet, path))
    kubelet.api.delete_pod(path)
    await kubelet.until(lambda: "Killing" in kubelet.events.reasons)
    kubelet.api.delete_pod(path, grace=0)
    await kubelet.until(lambda: path not in kubelet.api.objects)


async def test_a_failed_poststart_hook_kills_the_container(kubelet: Kubelet) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "exit 1"]}}}
    path = kubelet.api.pod(
        "hooked", {"restartPolicy": "Never", "containers": [container("sleep 1000", lifecycle=hook)]}
    )
    await kubelet.until(lambda: kubelet.api.status(path).get("phase") == "Failed")
    assert "FailedPostStartHook" in kubelet.events.reasons


async def test_volumes_of_all_kinds_and_their_refresh(kubelet: Kubelet) -> None:
    api = kubelet.api
    api.put(
        "/api/v1/namespaces/default/configmaps/c",
        {"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}, "data": {"k": "v1"}},
    )
    api.put(
        "/api/v1/namespaces/default/secrets/s",
        {"kind": "Secret", "type": "Opaque", "metadata": {"name": "s", "namespace": "default"}, "data": {"p": "cHc="}},
    )
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    labels = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
    names = {"c": "/c", "all": "/all", "one": "/one"}
    path = api.pod(
        "volumes",
        {
            "containers": [
                container(
                    "cat /c/k /all/p /all/token /all/labels /one; echo; while [ $(cat /c/k) = v1 ]; do sleep 0.1; done",
                    volumeMounts=[
                        *({"name": n, "mountPath": p} for n, p in names.items() if n != "one"),
                        {"name": "c", "mountPath": "/one", "subPath": "k"},
                    ],
                )
            ],
            "volumes": [
                {"name": "c", "configMap": {"name": "c"}},
                {"name": "all", "projected": {"sources": [{"secret": {"name": "s"}}, token, labels]}},
            ],
            "restartPolicy": "Never",
        },
        labels={"app": "x"},
    )
    await kubelet.until(lambda: ready(kubelet, path))
    await kubelet.until(lambda: log_of(kubelet, "default_volumes_*/a/0.log").strip() == 'v1pwa-tokenapp="x"v1')
    api.put(
        "/api/v1/namespaces/default/configmaps/c",
        {"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}, "data": {"k": "v2"}},
    )
    await kubelet.until(lambda: api.status(path).get("phase") == "Succeeded")


async def test_missing_objects_and_images_are_told_and_healed(kubelet: Kubelet) -> None:
    api = kubelet.api
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "x"}}}]
    waits = api.pod("waits", {"containers": [container("sleep 1000", env=env)]})
    never = api.pod("never", {"containers": [{"name": "a", "image": "nowhere/x:1", "imagePullPolicy": "Never"}]})

    def reason(path: str) -> str:
        return str(statuses(kubelet, path).get("a", {}).get("state", {}).get("waiting", {}).get("reason"))

    await kubelet.until(lambda: reason(waits) == "CreateContainerConfigError")
    await kubelet.until(lambda: reason(never) == "ErrImageNeverPull")
    assert statuses(kubelet, waits)["a"]["state"]["waiting"]["message"] == 'configmap "later" not found'
    api.put(
        "/api/v1/namespaces/default/configmaps/later",
        {"kind": "ConfigMap", "metadata": {"name": "later", "namespace": "default"}, "data": {"x": "1"}},
    )
    await kubelet.until(lambda: ready(kubelet, waits))


async def test_a_pod_that_does_not_fit_is_refused(kubelet: Kubelet) -> None:
    kubelet.agent.state.allocatable = {"cpu": "1", "pods": "110", "memory": "1Gi"}
    wanted = {"requests": {"cpu": "2"}}
    path = kubelet.api.pod("big", {"containers": [container("sleep 1", resources=wanted)]})
    await kubelet.until(lambda: kubelet.api.status(path).get("phase") == "Failed")
    assert kubelet.api.status(path)["reason"] == "OutOfcpu"
    assert kubelet.api.status(path)["message"] == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 0, capacity: 1000"
    )


async def test_the_deadline_ends_a_pod(kubelet: Kubelet) -> None:
    path = kubelet.api.pod("late", {"activeDeadlineSeconds": 2, "containers": [container("sleep 1000")]})
    await kubelet.until(lambda: kubelet.api.status(path).get("phase") == "Failed")
    assert kubelet.api.status(path)["reason"] == "DeadlineExceeded"


async def test_a_host_network_pod_has_the_nodes_address(kubelet: Kubelet) -> None:
    path = kubelet.api.pod("host", {"hostNetwork": True, "containers": [container("sleep 1000")]})
    await kubelet.until(lambda: ready(kubelet, path))
    assert kubelet.api.status(path)["podIP"] == kubelet.api.status(path)["hostIP"] == "127.0.0.1"


async def test_an_ephemeral_container_joins_a_running_pod(kubelet: Kubelet) -> None:
    path = kubelet.api.pod("debugged", {"containers": [container("sleep 1000")]})
    await kubelet.until(lambda: ready(kubelet, path))
    body = kubelet.api.objects[path]
    debug = container("echo debugging; sleep 1000", "debug", image=BUSYBOX, targetContainerName="a")
    kubelet.api.put(path, {**body, "spec": {**body["spec"], "ephemeralContainers": [debug]}})
    await kubelet.until(
        lambda: "running" in statuses(kubelet, path, "ephemeralContainerStatuses").get("debug", {}).get("state", {})
    )
    assert ready(kubelet, path)


async def test_a_new_kubelet_takes_over_running_pods_and_buries_the_forgotten(kubelet: Kubelet) -> None:
    api = kubelet.api
    stays, goes = (api.pod(name, {"containers": [container("sleep 1000")]}) for name in ("stays", "goes"))
    await kubelet.until(lambda: ready(kubelet, stays) and ready(kubelet, goes))
    before = statuses(kubelet, stays)["a"]["containerID"]
    await kubelet.agent.fleet.stop()
    fleet = kubelet.agent.fleet
    fleet.workers.clear()
    uid = api.objects.pop(goes)["metadata"]["uid"]
    fleet.on_change("uid-stays", from_object(api.objects[stays]))
    await fleet._sweep()
    await kubelet.until(lambda: not (kubelet.agent.settings.root / "pods" / uid).exists())
    assert statuses(kubelet, stays)["a"]["containerID"] == before
    assert statuses(kubelet, stays)["a"]["restartCount"] == 0
    sandboxes = await kubelet.agent.runtime.list_sandboxes(uid)
    await kubelet.until(lambda: not fleet._orphans)
    assert not await kubelet.agent.runtime.list_sandboxes(uid), sandboxes

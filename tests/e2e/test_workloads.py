"""Workloads beside Deployments: a pod on each node, work that ends, numbered pods, and a budget for evictions."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.e2e.cluster import Kubectl, eventually, is_ready

IMAGE = {"image": "skiff.local/toolbox:latest", "imagePullPolicy": "IfNotPresent"}
SLEEP = {"name": "main", **IMAGE, "command": ["sleep", "3600"]}


def template(app: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    pod = {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}
    return {"metadata": {"labels": {"app": app}}, "spec": pod}


def workload(kind: str, name: str, pod: dict[str, Any], **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": name}}
    whole = {"selector": selector, "template": pod, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": whole}


def apply(kubectl: Kubectl, namespace: str, *objects: dict[str, Any]) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", input=yaml.safe_dump_all(objects))


def job_spec(script: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", **IMAGE, "command": ["sh", "-c", script]}
    return {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}, **spec}


def test_a_daemon_set_runs_on_the_node_and_is_rolled(newest: Kubectl, namespace: str) -> None:
    apply(newest, namespace, workload("DaemonSet", "agent", template("agent", SLEEP)))
    newest("rollout", "status", "-n", namespace, "daemonset/agent", "--timeout=90s")
    (pod,) = newest.pods(namespace, "app=agent")
    assert pod["spec"]["nodeName"] == "e2e"
    newest("set", "env", "-n", namespace, "daemonset/agent", "ROUND=two")
    newest("rollout", "status", "-n", namespace, "daemonset/agent", "--timeout=90s")
    (second,) = newest.pods(namespace, "app=agent")
    assert second["metadata"]["name"] != pod["metadata"]["name"]
    assert newest("rollout", "history", "-n", namespace, "daemonset/agent").stdout.count("<none>") == 2
    newest("rollout", "undo", "-n", namespace, "daemonset/agent")
    newest("rollout", "status", "-n", namespace, "daemonset/agent", "--timeout=90s")
    (third,) = newest.pods(namespace, "app=agent")
    assert "env" not in third["spec"]["containers"][0]


def test_jobs_complete_fail_and_are_made_by_a_cron_job(newest: Kubectl, namespace: str) -> None:
    indexed = job_spec('echo "index $JOB_COMPLETION_INDEX"', completions=2, parallelism=2, completionMode="Indexed")
    failing = job_spec("exit 3", backoffLimit=0)
    batch = {"apiVersion": "batch/v1"}
    cron = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job_spec("echo from cron")}}
    apply(
        newest,
        namespace,
        {**batch, "kind": "Job", "metadata": {"name": "indexed"}, "spec": indexed},
        {**batch, "kind": "Job", "metadata": {"name": "failing"}, "spec": failing},
        {**batch, "kind": "CronJob", "metadata": {"name": "report"}, "spec": cron},
    )
    newest("create", "job", "-n", namespace, "--from=cronjob/report", "by-hand")
    newest("wait", "-n", namespace, "--for=condition=Complete", "job/indexed", "job/by-hand", "--timeout=90s")
    status = newest.json("get", "job", "indexed", "-n", namespace)["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (2, "0,1")
    logs = newest("logs", "-n", namespace, "-l", "batch.kubernetes.io/job-name=indexed").stdout
    assert sorted(logs.split("\n")[:2]) == ["index 0", "index 1"]
    assert newest("logs", "-n", namespace, "job/by-hand").stdout == "from cron\n"
    newest("wait", "-n", namespace, "--for=condition=Failed", "job/failing", "--timeout=90s")
    reasons = [c["reason"] for c in newest.json("get", "job", "failing", "-n", namespace)["status"]["conditions"]]
    assert set(reasons) == {"BackoffLimitExceeded"}
    # Nothing holds the pods back once the Jobs go.
    newest("delete", "job", "-n", namespace, "--all", "--timeout=90s")
    eventually(lambda: not newest.json("get", "pods", "-n", namespace)["items"], "the Jobs' pods are gone")


def test_a_stateful_set_comes_up_in_order_with_names_of_its_own(newest: Kubectl, namespace: str) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    pod = template("db", {**SLEEP, "readinessProbe": probe})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db"},
        "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 80}]},
    }
    apply(newest, namespace, service, workload("StatefulSet", "db", pod, replicas=2, serviceName="db"))
    newest("rollout", "status", "-n", namespace, "statefulset/db", "--timeout=90s")
    first, second = sorted(newest.pods(namespace, "app=db"), key=lambda found: str(found["metadata"]["name"]))
    assert [found["metadata"]["name"] for found in (first, second)] == ["db-0", "db-1"]
    ready = next(c for c in first["status"]["conditions"] if c["type"] == "Ready")
    assert ready["lastTransitionTime"] <= second["metadata"]["creationTimestamp"]

    def resolves() -> bool:
        found = newest("exec", "-n", namespace, "db-0", "--", "nslookup", f"db-1.db.{namespace}.svc.cluster.local")
        return second["status"]["podIP"] in found.stdout

    eventually(resolves, "a pod has a name through its headless Service")
    newest("delete", "pod", "-n", namespace, "db-1", "--wait=false")

    def came_back() -> bool:
        pods = {found["metadata"]["name"]: found for found in newest.pods(namespace, "app=db")}
        return pods["db-1"]["metadata"]["uid"] != second["metadata"]["uid"] and is_ready(pods["db-1"])

    eventually(came_back, "db-1 is there again")


def test_a_budget_refuses_an_eviction_until_it_is_wider(newest: Kubectl, namespace: str) -> None:
    apply(newest, namespace, workload("Deployment", "web", template("web", SLEEP), replicas=2))
    newest("create", "poddisruptionbudget", "web", "-n", namespace, "--selector=app=web", "--min-available=2")
    newest("rollout", "status", "-n", namespace, "deployment/web", "--timeout=90s")

    def healthy(allowed: int) -> bool:
        status = newest.json("get", "pdb", "web", "-n", namespace)["status"]
        return (status["currentHealthy"], status["disruptionsAllowed"]) == (2, allowed)

    eventually(lambda: healthy(0), "the budget counts its pods")
    pod = newest.pods(namespace, "app=web")[0]["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    evict = ("create", "--raw", path, "-f", "-")
    refused = newest(*evict, input=json.dumps(body), check=False)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in refused.stdout + refused.stderr
    newest("patch", "pdb", "web", "-n", namespace, "-p", '{"spec": {"minAvailable": 1}}')
    eventually(lambda: healthy(1), "the budget allows one")
    newest(*evict, input=json.dumps(body))
    eventually(
        lambda: pod not in [found["metadata"]["name"] for found in newest.pods(namespace, "app=web")], "it went", 20
    )


def test_a_claim_goes_when_deleted_and_written_endpoints_lead_somewhere(newest: Kubectl, namespace: str) -> None:
    ports = [{"name": "web", "port": 80}]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    apply(
        newest,
        namespace,
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside"}, "spec": {"ports": ports}},
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "outside"},
            "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": ports}],
        },
    )
    newest("delete", "pvc", "-n", namespace, "data", "--timeout=90s")

    def mirrored() -> bool:
        label = "kubernetes.io/service-name=outside"
        (found,) = newest.json("get", "endpointslices", "-n", namespace, "-l", label)["items"]
        return [e["addresses"] for e in found["endpoints"]] == [["192.0.2.7"]]

    eventually(mirrored, "the Endpoints are mirrored")


def test_a_volume_is_bound_when_its_first_pod_is_scheduled_and_keeps_the_data(newest: Kubectl, namespace: str) -> None:
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": namespace},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["e2e"]}]}
    size = {"storage": "1Mi"}
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": namespace}
    disk = {
        **common,
        "capacity": size,
        "hostPath": {"path": f"/var/lib/skiff-disks/{namespace}", "type": "DirectoryOrCreate"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
    }
    v1 = {"apiVersion": "v1"}
    volume = {**v1, "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": disk}
    wanted = {**common, "resources": {"requests": size}}
    claim = {**v1, "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": wanted}
    apply(newest, namespace, storage_class, volume, claim)

    def phase() -> str:
        return str(newest.json("get", "pvc", "data", "-n", namespace)["status"].get("phase"))

    eventually(lambda: newest("get", "serviceaccount", "default", "-n", namespace), "the default account exists")
    try:
        eventually(lambda: "WaitForFirstConsumer" in newest("get", "events", "-n", namespace).stdout, "the claim waits")
        assert phase() == "Pending"
        for name, script in (("writer", "echo kept > /data/file"), ("reader", "cat /data/file")):
            mount = {"name": "data", "mountPath": "/data"}
            container = {"name": "main", **IMAGE, "command": ["sh", "-c", script], "volumeMounts": [mount]}
            volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
            spec = {"containers": [container], "volumes": volumes, "restartPolicy": "Never"}
            apply(newest, namespace, {**v1, "kind": "Pod", "metadata": {"name": name}, "spec": spec})
            newest("wait", "-n", namespace, f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
        assert phase() == "Bound"
        assert newest("logs", "-n", namespace, "reader").stdout == "kept\n"
        newest("delete", "-n", namespace, "pod/writer", "pod/reader", "pvc/data")
        newest("wait", f"pv/{namespace}", "--for=jsonpath={.status.phase}=Released", "--timeout=90s")
    finally:
        newest("delete", "pv", namespace, "--ignore-not-found")
        newest("delete", "storageclass", namespace, "--ignore-not-found")

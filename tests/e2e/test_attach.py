"""Standard input of a pod's first process: `kubectl run -i`, `attach`, and a pod that asks for much of the runtime."""

from __future__ import annotations

import subprocess

from tests.e2e.cluster import Kubectl, eventually, is_ready

IMAGE = "skiff.local/toolbox:latest"
DEMANDING = f"""
apiVersion: v1
kind: Pod
metadata: {{name: demanding, labels: {{app: demanding}}}}
spec:
  terminationGracePeriodSeconds: 1
  shareProcessNamespace: true
  securityContext:
    runAsUser: 1000
    fsGroup: 2000
    seccompProfile: {{type: RuntimeDefault}}
    sysctls: [{{name: net.ipv4.ip_local_port_range, value: "20000 30000"}}]
  volumes: [{{name: memory, emptyDir: {{medium: Memory}}}}]
  containers:
  - name: confined
    image: {IMAGE}
    command: [sleep, "1000"]
    resources: {{limits: {{memory: 64Mi, cpu: 200m}}}}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {{drop: [ALL]}}
    volumeMounts: [{{name: memory, mountPath: /memory}}]
  - name: web
    image: {IMAGE}
    ports: [{{containerPort: 8080, hostPort: 31080}}]
  - name: greedy
    image: {IMAGE}
    command: [tail, /dev/zero]
    resources: {{limits: {{memory: 16Mi}}}}
"""


def account(kubectl: Kubectl, namespace: str) -> None:
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", namespace), "the default account exists")


def test_run_reads_typed_lines_and_cleans_up(kubectl: Kubectl, namespace: str) -> None:
    account(kubectl, namespace)
    command = ("run", "typed", "-n", namespace, "-i", "--rm", "--restart=Never", f"--image={IMAGE}")
    result = kubectl(*command, "--", "sh", "-c", "cat; echo done", input="a line\n")
    assert "a line\ndone\n" in result.stdout
    assert "typed" not in kubectl("get", "pods", "-n", namespace).stdout


def test_attach_talks_to_the_first_process(kubectl: Kubectl, namespace: str) -> None:
    account(kubectl, namespace)
    script = "while read line; do echo got $line; done"
    overrides = '{"spec":{"containers":[{"name":"echo","image":"%s","stdin":true,"command":["sh","-c","%s"]}]}}'
    run = ("run", "echo", "-n", namespace, f"--image={IMAGE}", "--labels=app=echo")
    kubectl(*run, f"--overrides={overrides % (IMAGE, script)}")
    eventually(lambda: is_ready(kubectl.pods(namespace, "app=echo")[0]), "the pod is Ready")
    attached = kubectl.popen("attach", "-i", "-n", namespace, "echo", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        typing, shown = attached.stdin, attached.stdout
        assert typing is not None
        assert shown is not None

        def said() -> bool:
            typing.write("hello\n")
            typing.flush()
            return "got hello" in kubectl("logs", "-n", namespace, "echo").stdout

        eventually(said, "the process answers", pause=1)
        assert shown.readline() == "got hello\n"
    finally:
        attached.kill()
        attached.communicate()


def test_a_demanding_pod(newest: Kubectl, namespace: str) -> None:
    account(newest, namespace)
    newest("apply", "-n", namespace, "-f", "-", input=DEMANDING)

    def statuses() -> dict[str, dict[str, object]]:
        pod = newest.pods(namespace, "app=demanding")[0]
        return {status["name"]: status for status in pod["status"]["containerStatuses"]}

    eventually(lambda: statuses()["confined"]["ready"] and statuses()["web"]["ready"], "two containers are ready")
    eventually(lambda: "OOMKilled" in str(statuses()["greedy"]), "the greedy container is killed for its memory")

    def sh(container: str, script: str) -> str:
        return newest("exec", "-n", namespace, "demanding", "-c", container, "--", "sh", "-c", script).stdout

    assert "uid=1000" in sh("confined", "id")
    assert "2000" in sh("confined", "id")
    facts = sh("confined", "cat /proc/self/status")
    assert "CapEff:\t0000000000000000" in facts
    assert "NoNewPrivs:\t1" in facts
    assert "Seccomp:\t2" in facts
    assert sh("confined", "touch /memory/x && ls /memory") == "x\n"
    assert sh("confined", "touch /x 2>/dev/null || echo refused") == "refused\n"
    assert sh("confined", "cat /proc/sys/net/ipv4/ip_local_port_range").split() == ["20000", "30000"]
    eventually(lambda: "httpd" in sh("confined", "ps"), "the other container's process is seen")
    page = ("wget", "-qO-", "-T", "5", "http://10.89.77.1:31080/cgi-bin/hostname")
    eventually(lambda: newest.cluster.run(*page).stdout == "demanding\n", "the page at the host's port")

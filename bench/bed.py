"""A store of ours and an apiserver on it, each a process, and the objects that are put into them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cluster import cpu_seconds, proportional_memory
from kubeclient.kubeconfig import KubeConfig
from tests.integration.cluster_parts import ApiServer, Certificates, start_apiserver, start_store

NAMESPACE = "/api/v1/namespaces/bench"
PODS, MAPS = f"{NAMESPACE}/pods", f"{NAMESPACE}/configmaps"
TOKEN = "bench"


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": "bench"}}, "data": {"config.yaml": "a" * 400}}


def pod(name: str) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": "registry.example/app:v1",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "cfg", "mountPath": "/etc/app"}],
    }
    labels = {"app": "bench", "tier": "web", "pod-template-hash": "5d4f8c7b9"}
    volumes = [{"name": "cfg", "configMap": {"name": "app-config"}}]
    spec = {"schedulerName": "nobody", "containers": [container], "volumes": volumes}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@dataclass
class Bed:
    """A store and an apiserver, and ways to load them."""

    folder: Path
    seconds: float
    workers: int

    def __post_init__(self) -> None:
        os.environ["SKIFF_TEST_STORE"] = "ours"
        self._stack = ExitStack()
        (self.folder / "tokens.csv").write_text(f'{TOKEN},bench,1,"system:masters"\n')
        self.certificates = Certificates.create(self.folder / "pki")
        self.store = self._stack.enter_context(start_store(self.folder))
        self.start()

    def start(self) -> None:
        began = time.monotonic()
        flags = (f"--token-auth-file={self.folder / 'tokens.csv'}", f"--workers={self.workers}")
        self.server: ApiServer = start_apiserver(
            self.folder, self.store.url, *flags, certificates=self.certificates, port=0
        )
        self.ready_seconds, self.ready_cpu = time.monotonic() - began, self.cpu()
        self.config = KubeConfig.load(self.server.kubeconfig())

    def close(self) -> None:
        self.server.stop()
        self._stack.close()

    def megabytes(self) -> float:
        pid = self.server.process.pid
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        return sum(map(proportional_memory, pids))

    def cpu(self) -> float:
        """Seconds that the apiserver has computed since it began."""
        return cpu_seconds(self.server.process.pid)

    def wrk(self, connections: int, path: str, body: dict[str, Any] | None = None) -> float:
        """Good answers per second."""
        command = ["wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{self.seconds:g}s", "--timeout=30s"]
        environment = dict(os.environ, TOKEN_HEADER=f"Bearer {TOKEN}")
        if body is not None:
            command += ["-s", str(Path(__file__).with_name("create.lua"))]
            environment |= {"BODY": json.dumps(body), "PREFIX": f"w{time.monotonic_ns()}"}
        command += ["-H", f"Authorization: Bearer {TOKEN}", "-H", "Accept: application/json", self.server.url + path]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        if "Non-2xx" in said:
            raise RuntimeError(f"{path}: {said}")
        found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
        assert found is not None, said
        return float(found.group(1))

    def metrics(self) -> dict[str, float]:
        with self.server.http() as client:
            lines = client.get("/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] != "#"}

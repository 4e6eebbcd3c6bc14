"""Pods on a real containerd, from the API's wish to the API's status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.kubelet.conftest import Kubelet

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
    assert not list(Path(kubelet.agent.settings.pod_logs).iterdir())

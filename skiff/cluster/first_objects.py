"""Writes the objects a cluster has from its first minute, and waits for the node and the DNS to be of use."""

from __future__ import annotations

from typing import Any

import httpx

from apimachinery.errors import StatusError
from component_base.clock import Clock
from kubeclient.rest import MERGE, RestClient
from skiff.cluster import addons
from skiff.cluster.settings import Settings

PAUSE_SECONDS = 0.2


async def apply(client: RestClient, settings: Settings, ca_pem: str, server: str) -> int:
    """Create what is missing, bring ours up to date. Returns how many were created."""
    created = 0
    for collection, body in addons.objects(settings, ca_pem, server):
        try:
            await client.patch(f"{collection}/{body['metadata']['name']}", body, MERGE)
        except StatusError as error:
            if error.reason != "NotFound":
                raise
            await client.create(collection, body)
            created += 1
    return created


async def mark_control_plane(client: RestClient, name: str) -> None:
    """The label behind `ROLES` of `kubectl get nodes`; nodes may not give it to themselves."""
    labels = {"node-role.kubernetes.io/control-plane": ""}
    await client.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": labels}}, MERGE)


async def wait_for_node(client: RestClient, name: str, clock: Clock, seconds: float) -> str:
    """ "" once the node is Ready; else what it said last."""
    end = clock.monotonic() + seconds
    said = "it has not registered"
    while clock.monotonic() < end:
        try:
            node = await client.get(f"/api/v1/nodes/{name}")
            ready = _ready(node)
            if ready.get("status") == "True":
                return ""
            said = str(ready.get("message") or "it has no Ready condition")
        except StatusError as error:
            said = str(error)
        except httpx.TransportError as error:
            said = f"the apiserver does not answer: {error}"
        await clock.sleep(PAUSE_SECONDS)
    return said


def _ready(node: dict[str, Any]) -> dict[str, Any]:
    conditions = (node.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == "Ready"), {})

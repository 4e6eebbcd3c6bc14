"""`cluster-info dump`: nodes, and per namespace events, workloads, services, pods and their logs."""

from __future__ import annotations

import click

from apimachinery.errors import StatusError
from skiff.ctl.printing.documents import to_json, without_managed_fields
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, everywhere_option, listed
from skiff.ctl.words import command

_TYPES = ("events", "replicationcontrollers", "services", "daemonsets", "deployments", "replicasets", "pods")


@command("dump")
@everywhere_option
@click.option("--namespaces", default="", help="Only these namespaces.")
async def dump_command(session: Session, everywhere: bool, namespaces: str) -> None:
    """Show everything there is to debug a cluster with."""
    catalog = await session.catalog()
    places = [one for one in namespaces.split(",") if one] or ["kube-system", session.namespace]
    if everywhere:
        found = await listed(session, Target(catalog.find("namespaces"), ""))
        places = [one["metadata"]["name"] for one in found]
    _show(await listed(session, Target(catalog.find("nodes"), "")))
    for place in dict.fromkeys(places):
        pods = []
        for word in _TYPES:
            pods = await listed(session, Target(catalog.find(word), place))
            _show(pods)
        for pod in pods:
            await _logs(session, place, pod)


def _show(objects: list[dict[str, object]]) -> None:
    click.echo(to_json(without_managed_fields({"apiVersion": "v1", "kind": "List", "items": objects})), nl=False)


async def _logs(session: Session, namespace: str, pod: dict[str, dict[str, object]]) -> None:
    name = pod["metadata"]["name"]
    for container in pod["spec"]["containers"]:  # type: ignore[attr-defined]
        click.echo(f"==== START logs for container {container['name']} of pod {namespace}/{name} ====")
        try:
            path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
            text = await session.client.get_bytes(path, {"container": container["name"]}, accept="*/*")
            click.echo(text.decode(errors="replace"), nl=False)
        except StatusError as error:
            click.echo(error.message)
        click.echo(f"==== END logs for container {container['name']} of pod {namespace}/{name} ====")

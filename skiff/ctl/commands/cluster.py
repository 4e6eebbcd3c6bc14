"""`cluster-info`: where the control plane and the services for the whole cluster are."""

from __future__ import annotations

import click

from apimachinery.errors import StatusError
from skiff.ctl.session import Session
from skiff.ctl.words import Entry, Group

_LABEL = "kubernetes.io/cluster-service=true"


async def _show(session: Session) -> None:
    """Show where the cluster is."""
    try:
        services = await session.client.get("/api/v1/namespaces/kube-system/services", {"labelSelector": _LABEL})
    except StatusError as error:
        if error.code != 403:
            raise
        services = {}
    _say("Kubernetes control plane", session.config.server)
    for service in services.get("items") or ():
        metadata, spec = service["metadata"], service["spec"]
        ports = spec.get("ports") or [{}]
        name = metadata["name"]
        if ports[0].get("name"):
            name += f":{ports[0]['name']}"
        base = f"{session.config.server}/api/v1/namespaces/{metadata['namespace']}/services/{name}/proxy"
        _say((metadata.get("labels") or {}).get("kubernetes.io/name") or metadata["name"], base)
    click.echo("\nTo further debug and diagnose cluster problems, use 'skiffctl cluster-info dump'.")


def _say(what: str, where: str) -> None:
    click.echo(f"{click.style(what, fg='green')} is running at {click.style(where, fg='yellow')}")


cluster_info_command = Group(
    "cluster-info",
    commands_below={
        "dump": Entry("skiff.ctl.commands.dump", "dump", "Show everything there is to debug a cluster with")
    },
    callback=_show,
    invoke_without_command=True,
    help=_show.__doc__,
)

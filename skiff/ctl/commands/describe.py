"""`describe`: objects in detail, with their events."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from apimachinery.errors import StatusError
from skiff.ctl.describe.around import Around, gather
from skiff.ctl.failures import Said, lines
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.printing.columns import aligned
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, at, everywhere_option, listed, resolve, selector_option
from skiff.ctl.words import command

Describer = Callable[[dict[str, Any], Around], list[str]]

_KINDS = {
    "Pod": ("pod", "lines"),
    "Node": ("node", "lines"),
    "Deployment": ("workloads", "deployment"),
    "ReplicaSet": ("workloads", "replicas"),
    "DaemonSet": ("workloads", "replicas"),
    "StatefulSet": ("workloads", "replicas"),
    "ReplicationController": ("workloads", "replicas"),
    "Job": ("workloads", "job"),
    "Service": ("basics", "service"),
    "Namespace": ("basics", "namespace"),
    "ServiceAccount": ("basics", "service_account"),
    "Secret": ("basics", "secret"),
    "ConfigMap": ("basics", "config_map"),
}


def describer(kind: str, group: str) -> Describer:
    module, function = _KINDS.get(kind, ("", "")) if group in ("", "apps", "batch") else ("", "")
    found: Describer = getattr(import_module(f"skiff.ctl.describe.{module or 'basics'}"), function or "generic")
    return found


@command("describe")
@click.argument("words", nargs=-1, metavar="TYPE [NAME…] | TYPE/NAME…")
@selector_option
@everywhere_option
@filename_options
@click.option("--show-events/--no-show-events", default=True, help="With the events of each object.")
@click.option("--chunk-size", type=int, default=500, hidden=True)
async def describe_command(session: Session, **given: Any) -> None:
    """Show objects in detail, with their events.

    \b
    skiffctl describe pod/x
    skiffctl describe nodes
    """
    if given["filename"]:
        catalog = await session.catalog()
        targets = [at(catalog, obj, session.namespace) for obj in load(given["filename"], given["recursive"])]
    else:
        targets = await resolve(session, given["words"], everywhere=given["everywhere"])
    shown = failed = False
    for target in targets:
        try:
            found = await _objects(session, target, given["selector"])
        except StatusError as error:
            failed = True
            for line in lines(error) or ():
                click.echo(line, err=True)
            continue
        for obj in found:
            place = obj["metadata"].get("namespace", "")
            one = Target(target.type, place, obj["metadata"]["name"])
            around = await gather(session, one, obj, given["show_events"])
            text = aligned(describer(target.type.kind, target.type.group)(obj, around))
            click.echo(("\n\n" if shown else "") + "\n".join(text))
            shown = True
    if not shown and not failed:
        namespace = targets[0].namespace
        click.echo(f"No resources found in {namespace} namespace." if namespace else "No resources found", err=True)
    if failed:
        raise Said


async def _objects(session: Session, target: Target, selector: str) -> list[dict[str, Any]]:
    """By name; where there is none of that name, those whose names begin with it."""
    try:
        return await listed(session, target, selector)
    except StatusError as error:
        if error.code != 404 or not target.name:
            raise
        every = await listed(session, Target(target.type, target.namespace))
        near = [obj for obj in every if obj["metadata"]["name"].startswith(target.name)]
        if not near:
            raise
        return near

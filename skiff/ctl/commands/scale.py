"""`scale`: how many replicas, through the scale subresource."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from apimachinery.errors import StatusError
from kubeclient.rest import MERGE
from skiff.ctl.changes import dry_run_option, lasting
from skiff.ctl.failures import Failure, Said, lines
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session, seconds
from skiff.ctl.targets import Target, at, listed, resolve, selector_option
from skiff.ctl.waiting import versions
from skiff.ctl.words import command


@command("scale")
@click.argument("words", nargs=-1, metavar="TYPE NAME… | TYPE/NAME…")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="How many there are to be.")
@click.option("--current-replicas", type=int, default=-1, help="Only if there are so many now.")
@click.option("--resource-version", default="", help="Only if this is the version now.")
@click.option("--timeout", default="0s", help="Wait so long until there are as many.")
@click.option("--all", "all_", is_flag=True, help="All objects of the type.")
@selector_option
@filename_options
@output_option
@dry_run_option
async def scale_command(session: Session, **given: Any) -> None:
    """Set how many replicas there are.

    \b
    skiffctl scale deploy/hello --replicas=3
    """
    targets = await chosen(session, given)
    failed = False
    for target in targets:
        try:
            report(await _scale(session, target, given), "scaled", given["output"], given["dry_run"])
        except (StatusError, Failure) as error:
            failed = True
            for line in lines(error) or ():
                click.echo(line, err=True)
    if failed:
        raise Said


async def chosen(session: Session, given: dict[str, Any]) -> list[Target]:
    """Objects by name, by file, by label or all; Failure where none of these is said."""
    if given["filename"]:
        catalog = await session.catalog()
        return [at(catalog, obj, session.namespace) for obj in load(given["filename"], given["recursive"])]
    found = await resolve(session, given["words"])
    if all(one.name for one in found):
        return found
    if not (given.get("all_") or given["selector"]):
        raise Failure("resource(s) were provided, but no name was specified")
    targets: list[Target] = []
    for one in found:
        for obj in await listed(session, one, given["selector"]):
            metadata = obj["metadata"]
            targets.append(Target(one.type, metadata.get("namespace", ""), metadata["name"]))
    if not targets:
        raise Failure("no objects passed to " + str(click.get_current_context().info_name))
    return targets


async def _scale(session: Session, target: Target, given: dict[str, Any]) -> dict[str, Any]:
    obj = await session.client.get(target.path)
    if target.type.subresources and "scale" not in target.type.subresources:
        raise Failure(f"cannot scale {target}: {target.type.group_resource} has no scale")
    now = (obj.get("spec") or {}).get("replicas")
    if given["current_replicas"] >= 0 and now != given["current_replicas"]:
        raise Failure(f"Expected replicas to be {given['current_replicas']}, was {now}")
    if given["dry_run"] == "client":
        return obj
    patch: dict[str, Any] = {"spec": {"replicas": given["replicas"]}}
    if given["resource_version"]:
        patch["metadata"] = {"resourceVersion": given["resource_version"]}
    path = target.type.path(target.namespace, target.name, "scale")
    await session.client.patch(path, patch, MERGE, lasting(given["dry_run"], "skiffctl"))
    if (limit := seconds(given["timeout"])) and given["dry_run"] == "none":
        async with asyncio.timeout(limit):
            async for seen in versions(session, target):
                if seen is None or _reached(seen, given["replicas"]):
                    break
    return obj


def _reached(obj: dict[str, Any], replicas: int) -> bool:
    status = obj.get("status") or {}
    seen: int = status.get("observedGeneration", 0)
    return bool(status.get("replicas", 0) == replicas and seen >= obj["metadata"]["generation"])

"""`cordon`, `uncordon`, `drain`."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from apimachinery.errors import StatusError
from kubeclient.rest import MERGE
from skiff.ctl.changes import dry_run_option, lasting
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session, seconds
from skiff.ctl.targets import Target, listed, selector_option
from skiff.ctl.waiting import gone
from skiff.ctl.words import command

_MIRROR = "kubernetes.io/config.mirror"
_TRY_AGAIN = 5.0


async def _nodes(session: Session, names: tuple[str, ...], selector: str) -> list[dict[str, Any]]:
    type_ = (await session.catalog()).find("nodes")
    if not names and not selector:
        raise Failure("USAGE: name at least one node, or use --selector")
    if selector:
        return await listed(session, Target(type_, ""), selector)
    return [await session.client.get(type_.path("", name)) for name in names]


async def _mark(session: Session, node: dict[str, Any], closed: bool, dry_run: str) -> None:
    name = node["metadata"]["name"]
    word = "cordoned" if closed else "uncordoned"
    if bool((node.get("spec") or {}).get("unschedulable")) == closed:
        click.echo(f"node/{name} already {word}")
        return
    if dry_run != "client":
        patch = {"spec": {"unschedulable": True if closed else None}}
        await session.client.patch(f"/api/v1/nodes/{name}", patch, MERGE, lasting(dry_run, "skiffctl"))
    click.echo(f"node/{name} {word}" + {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, ""))


@command("cordon")
@click.argument("names", nargs=-1, metavar="NODE…")
@selector_option
@dry_run_option
async def cordon_command(session: Session, names: tuple[str, ...], selector: str, dry_run: str) -> None:
    """Let no new pods onto a node."""
    for node in await _nodes(session, names, selector):
        await _mark(session, node, True, dry_run)


@command("uncordon")
@click.argument("names", nargs=-1, metavar="NODE…")
@selector_option
@dry_run_option
async def uncordon_command(session: Session, names: tuple[str, ...], selector: str, dry_run: str) -> None:
    """Let pods onto a node again."""
    for node in await _nodes(session, names, selector):
        await _mark(session, node, False, dry_run)


@command("drain")
@click.argument("names", nargs=-1, metavar="NODE…")
@selector_option
@dry_run_option
@click.option("--ignore-daemonsets", is_flag=True, help="Leave the pods of daemon sets alone.")
@click.option("--delete-emptydir-data", is_flag=True, help="Pods with emptyDir volumes may go.")
@click.option("--force", is_flag=True, help="Pods that nothing will make again may go.")
@click.option("--disable-eviction", is_flag=True, help="Delete instead of evict: disruption budgets do not count.")
@click.option("--grace-period", type=int, default=-1, help="Seconds pods get to end; -1: their own.")
@click.option("--timeout", default="0s", help="How long to wait; 0s: as long as it takes.")
@click.option("--pod-selector", default="", help="Only these pods.")
async def drain_command(session: Session, names: tuple[str, ...], selector: str, dry_run: str, **given: Any) -> None:
    """Move all pods off a node."""
    for node in await _nodes(session, names, selector):
        await _mark(session, node, True, dry_run)
        name = node["metadata"]["name"]
        pods_type = (await session.catalog()).find("pods")
        field = f"spec.nodeName={name}"
        pods = await listed(session, Target(pods_type, ""), given["pod_selector"], field)
        leaving, ignored, problems = sorted_out(pods, given)
        if problems:
            raise Failure(f'unable to drain node "{name}" due to error: ' + "; ".join(problems))
        if ignored:
            session.warn("ignoring DaemonSet-managed Pods: " + ", ".join(ignored))
        async with asyncio.timeout(seconds(given["timeout"]) or None), asyncio.TaskGroup() as group:
            for pod in leaving:
                group.create_task(_remove(session, pod, given, dry_run, pods_type))
        click.echo(f"node/{name} drained")


def sorted_out(pods: list[dict[str, Any]], given: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Pods that are to go, names of those that stay, and why it must not be done."""
    leaving: list[dict[str, Any]] = []
    ignored: list[str] = []
    reasons: dict[str, list[str]] = {}
    for pod in pods:
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        if _MIRROR in (metadata.get("annotations") or {}):
            continue
        owner = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
        done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if owner is not None and owner["kind"] == "DaemonSet" and not done:
            if given["ignore_daemonsets"]:
                ignored.append(name)
            else:
                reasons.setdefault(
                    "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)", []
                ).append(name)
            continue
        has_data = any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ())
        if has_data and not done and not given["delete_emptydir_data"]:
            text = "cannot delete Pods with local storage (use --delete-emptydir-data to override)"
            reasons.setdefault(text, []).append(name)
        if owner is None and not done and not given["force"]:
            text = "cannot delete Pods that declare no controller (use --force to override)"
            reasons.setdefault(text, []).append(name)
        leaving.append(pod)
    return leaving, ignored, [f"{text}: {', '.join(names)}" for text, names in reasons.items()]


async def _remove(session: Session, pod: dict[str, Any], given: dict[str, Any], dry_run: str, type_: Any) -> None:
    metadata = pod["metadata"]
    target = Target(type_, metadata["namespace"], metadata["name"])
    ran = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
    click.echo(f"{'deleting' if given['disable_eviction'] else 'evicting'} pod {target.namespace}/{target.name}{ran}")
    if dry_run != "none":
        return
    options: dict[str, Any] = {"gracePeriodSeconds": given["grace_period"]} if given["grace_period"] >= 0 else {}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": target.name, "namespace": target.namespace},
        "deleteOptions": options,
    }
    while True:
        try:
            if given["disable_eviction"]:
                await session.client.delete(target.path, options)
            else:
                await session.client.create(f"{target.path}/eviction", body)
            break
        except StatusError as error:
            if error.code == 404:
                return
            if error.code != 429:
                raise
            text = f'error when evicting pods/"{target.name}" -n "{target.namespace}" (will retry after 5s): '
            click.echo(text + error.message, err=True)
            await session.clock.sleep(_TRY_AGAIN)
    await gone(session, target, metadata["uid"])
    click.echo(f"pod/{target.name} evicted")

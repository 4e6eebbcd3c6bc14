"""`run`: one pod of an image, attached to this terminal if asked for."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from apimachinery.patch import merge_patch
from skiff.ctl.commands.attach import attached
from skiff.ctl.commands.create import made
from skiff.ctl.commands.create_from_flags import making
from skiff.ctl.commands.expose import service_of
from skiff.ctl.failures import Failure
from skiff.ctl.manifests import documents
from skiff.ctl.session import Session, seconds
from skiff.ctl.targets import Target
from skiff.ctl.waiting import gone, versions
from skiff.ctl.words import command

_DONE = ("Succeeded", "Failed")


@command("run")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[-- ARGUMENT…]")
@click.option("--image", required=True, help="Image to run.")
@click.option("--command", "as_command", is_flag=True, help="The words replace the image's command.")
@click.option("--env", multiple=True, help="NAME=VALUE.")
@click.option("-l", "--labels", default="", help="Labels of the pod.")
@click.option("--annotations", multiple=True, help="KEY=VALUE.")
@click.option("--port", default="", help="Port the container listens on.")
@click.option("--expose", is_flag=True, help="Make a service too.")
@click.option("--restart", type=click.Choice(["Always", "OnFailure", "Never"]), default="Always")
@click.option("--image-pull-policy", default="", help="Always, IfNotPresent or Never.")
@click.option("--privileged", is_flag=True, help="Run privileged.")
@click.option("--overrides", default="", help="JSON that changes the pod.")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Standard input is a terminal.")
@click.option("--attach/--no-attach", default=None, help="Show the output.")
@click.option("--rm", is_flag=True, help="Delete the pod at the end.")
@click.option("-q", "--quiet", is_flag=True, help="Only what the process prints.")
@click.option("--pod-running-timeout", default="1m", help="How long to wait until it runs.")
@making
async def run_command(session: Session, **given: Any) -> int:
    """Run an image in a pod.

    \b
    skiffctl run -it --rm try --image=skiff.local/toolbox --restart=Never -- sh
    """
    attach = given["attach"] if given["attach"] is not None else given["stdin"] or given["tty"]
    if given["rm"] and not attach:
        raise Failure("--rm should only be used for attached containers")
    if given["tty"] and not sys.stdin.isatty():
        given["tty"] = False
        click.echo("Unable to use a TTY - input is not a terminal or the right kind of file", err=True)
    pod = pod_of(given)
    if given["dry_run"] != "none" or not attach:
        await made(session, pod, given)
        if given["expose"]:
            await made(session, service_of(pod, {**_NO_FLAGS, "port": given["port"]}), given)
        return 0
    type_ = (await session.catalog()).find("pods")
    target = Target(type_, session.namespace, given["name"])
    answer = await session.client.create(type_.path(target.namespace), pod, {"fieldManager": "skiffctl-run"})
    try:
        return await _attend(session, target, given)
    finally:
        if given["rm"]:
            await session.client.delete(target.path)
            await gone(session, target, answer["metadata"]["uid"])
            if not given["quiet"]:
                click.echo(f'pod "{given["name"]}" deleted from {target.namespace} namespace')


_NO_FLAGS = dict.fromkeys(
    (
        "labels",
        "own_labels",
        "name",
        "kind",
        "cluster_ip",
        "session_affinity",
        "external_ip",
        "protocol",
        "target_port",
    ),
    "",
)


def pod_of(given: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = {"name": given["name"], "image": given["image"]}
    if given["words"]:
        container["command" if given["as_command"] else "args"] = list(given["words"])
    if given["env"]:
        pairs = [one.partition("=") for one in given["env"]]
        container["env"] = [{"name": name, "value": value} for name, _, value in pairs]
    if given["port"]:
        container["ports"] = [{"containerPort": int(given["port"])}]
    if given["image_pull_policy"]:
        container["imagePullPolicy"] = given["image_pull_policy"]
    if given["privileged"]:
        container["securityContext"] = {"privileged": True}
    if given["stdin"]:
        container |= {"stdin": True, "stdinOnce": True}
    if given["tty"]:
        container["tty"] = True
    pairs = [one.partition("=") for one in given["labels"].split(",") if one]
    labels = {key: value for key, _, value in pairs} or {"run": given["name"]}
    metadata: dict[str, Any] = {"name": given["name"], "labels": labels}
    if given["annotations"]:
        metadata["annotations"] = {key: value for key, _, value in (one.partition("=") for one in given["annotations"])}
    spec = {"containers": [container], "restartPolicy": given["restart"]}
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    if given["overrides"]:
        pod = merge_patch.apply(pod, documents(given["overrides"], "--overrides")[0])
    return pod


async def _attend(session: Session, target: Target, given: dict[str, Any]) -> int:
    pod: dict[str, Any] = {}
    async with asyncio.timeout(seconds(given["pod_running_timeout"])):
        async for seen in versions(session, target):
            if seen is None:
                raise Failure(f"pod {target.name} was deleted")
            pod = seen
            if (pod.get("status") or {}).get("phase") in ("Running", *_DONE):
                break
    if pod["status"]["phase"] == "Running":
        await attached(session, pod, given["name"], given["stdin"], given["tty"], given["quiet"])
    else:
        path = f"{target.path}/log"
        click.echo(await session.client.get_bytes(path, accept="*/*"), nl=False)
    return await _code(session, target, given["restart"])


async def _code(session: Session, target: Target, restart: str) -> int:
    """The exit code of a pod that ends; others may run on."""
    if restart == "Always":
        return 0
    async for pod in versions(session, target):
        if pod is None:
            return 0
        status = pod.get("status") or {}
        if status.get("phase") in _DONE:
            ended = [one["state"]["terminated"]["exitCode"] for one in status.get("containerStatuses") or ()]
            code = int(ended[0]) if ended else 0
            if code:
                click.echo(f"pod {target.namespace}/{target.name} terminated (exit code {code})", err=True)
            return code
    return 0

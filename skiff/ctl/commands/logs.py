"""`logs`: what containers wrote, of one or of many, once or as it comes."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from apimachinery.errors import StatusError
from skiff.ctl.failures import Failure, lines
from skiff.ctl.pods import container_named, containers, pods_of
from skiff.ctl.session import Session, seconds
from skiff.ctl.targets import Target, listed, parse, selector_option
from skiff.ctl.words import command

_SELECTED_TAIL = 10


@command("logs")
@click.argument("words", nargs=-1, metavar="POD | TYPE/NAME [CONTAINER]")
@selector_option
@click.option("-c", "--container", default="", help="Which container.")
@click.option("-f", "--follow", is_flag=True, help="Go on as more is written.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before the last restart.")
@click.option("--all-containers", is_flag=True, help="Of all containers of the pod.")
@click.option("--all-pods", is_flag=True, help="Of all pods of the workload.")
@click.option("--prefix", is_flag=True, help="Say before each line where it comes from.")
@click.option("--timestamps", is_flag=True, help="With the time of each line.")
@click.option("--tail", type=int, default=None, help="Only the last lines; -1: all.")
@click.option("--since", default="", help="Only of the last e.g. 5m.")
@click.option("--since-time", default="", help="Only after this time (RFC 3339).")
@click.option("--limit-bytes", type=int, default=0, help="No more bytes than these.")
@click.option("--ignore-errors", is_flag=True, help="Go on when one of them fails.")
@click.option("--max-log-requests", type=int, default=5, help="How many to follow at once.")
@click.option("--pod-running-timeout", default="20s", hidden=True)
@click.option("--insecure-skip-tls-verify-backend", is_flag=True, hidden=True)
async def logs_command(session: Session, **given: Any) -> None:
    """Print what containers wrote.

    \b
    skiffctl logs deploy/hello -f --tail=20
    skiffctl logs -l app=hello --prefix
    """
    sources = await _sources(session, given)
    if given["follow"] and len(sources) > given["max_log_requests"]:
        raise Failure(
            f"you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is "
            f"{given['max_log_requests']}, use --max-log-requests to increase the limit"
        )
    parameters = _parameters(given)
    if given["follow"] and len(sources) > 1:
        async with asyncio.TaskGroup() as group:
            for source in sources:
                group.create_task(_copy(session, source, parameters, given))
        return
    for source in sources:
        await _copy(session, source, parameters, given)


async def _sources(session: Session, given: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Namespace, pod and container of each log."""
    words, container = given["words"], given["container"]
    if given["selector"]:
        if words:
            raise Failure("only a selector (-l) or a POD name is allowed")
        type_ = (await session.catalog()).find("pods")
        pods = await listed(session, Target(type_, session.namespace), given["selector"])
        if not pods:
            click.echo(f"No resources found in {session.namespace} namespace.", err=True)
    elif not words:
        raise Failure(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\n"
            "POD or TYPE/NAME is a required argument for the logs command"
        )
    else:
        if len(words) > 1:
            container = container or words[1]
        word = words[0]
        catalog = await session.catalog()
        target = parse([word], catalog, session.namespace, "pods")[0]
        pods = await pods_of(session, target)
        if not pods:
            raise Failure(f"{target} has no pods")
        if not given["all_pods"]:
            if len(pods) > 1:
                click.echo(f"Found {len(pods)} pods, using pod/{pods[0]['metadata']['name']}", err=True)
            pods = pods[:1]
    found = []
    for pod in pods:
        metadata = pod["metadata"]
        if given["all_containers"]:
            names = containers(pod)
        else:
            name, remark = container_named(pod, container)
            if remark:
                click.echo(remark, err=True)
            names = [name]
        found += [(metadata["namespace"], metadata["name"], name) for name in names]
    return found


def _parameters(given: dict[str, Any]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name in ("follow", "previous", "timestamps"):
        if given[name]:
            parameters[name] = "true"
    tail = given["tail"]
    if tail is None and given["selector"]:
        tail = _SELECTED_TAIL
    if tail is not None and tail >= 0:
        parameters["tailLines"] = str(tail)
    if given["since"] and given["since_time"]:
        raise Failure("at most one of `sinceTime` or `since` may be specified")
    if given["since"]:
        parameters["sinceSeconds"] = str(max(1, round(seconds(given["since"]))))
    if given["since_time"]:
        parameters["sinceTime"] = given["since_time"]
    if given["limit_bytes"]:
        parameters["limitBytes"] = str(given["limit_bytes"])
    return parameters


async def _copy(
    session: Session, source: tuple[str, str, str], parameters: dict[str, str], given: dict[str, Any]
) -> None:
    namespace, pod, container = source
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    prefix = f"[pod/{pod}/{container}] ".encode() if given["prefix"] else b""
    rest = b""
    try:
        async for chunk in session.client.stream(path, {"container": container, **parameters}):
            if not prefix:
                _write(chunk)
                continue
            *whole, rest = (rest + chunk).split(b"\n")
            _write(b"".join(prefix + line + b"\n" for line in whole))
        if rest:
            _write(prefix + rest + b"\n")
    except StatusError as error:
        if not given["ignore_errors"]:
            raise
        for line in lines(error) or ():
            click.echo(line, err=True)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()

"""`tree`: what owns an object and what it owns, down to the pods."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from apimachinery.errors import StatusError
from apimachinery.table import ages
from skiff.ctl.printing.columns import Columns
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, listed, resolve
from skiff.ctl.words import command

#: Owned by nothing, or deprecated in favour of what is shown.
_LEFT_OUT = frozenset({"events", "componentstatuses", "bindings", "endpoints"})


@command("tree")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
async def tree_command(session: Session, words: tuple[str, ...]) -> None:
    """Show an object, what owns it and what it owns.

    \b
    skiffctl tree deploy/hello
    """
    for target in await resolve(session, words):
        for obj in await listed(session, target):
            place = obj["metadata"].get("namespace", "")
            top = await _top(session, obj)
            rows = drawn(top, await _everything(session, place), session.now(), obj["metadata"]["uid"])
            for line in Columns().lines([["NAME", "READY", "STATUS", "AGE"], *rows]):
                click.echo(line)


async def _top(session: Session, obj: dict[str, Any]) -> dict[str, Any]:
    """The owner of the owner, as far up as it goes."""
    catalog = await session.catalog()
    while True:
        owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
        if owner is None:
            return obj
        type_ = catalog.of_kind(owner["apiVersion"], owner["kind"])
        namespace = obj["metadata"].get("namespace", "") if type_.namespaced else ""
        try:
            obj = await session.client.get(type_.path(namespace, owner["name"]))
        except StatusError:
            return obj


async def _everything(session: Session, namespace: str) -> list[dict[str, Any]]:
    catalog = await session.catalog()
    types = [
        one
        for one in catalog.types
        if one.preferred and "list" in one.verbs and one.plural not in _LEFT_OUT and (one.namespaced or not namespace)
    ]
    limit = asyncio.Semaphore(8)

    async def ask(target: Target) -> list[dict[str, Any]]:
        async with limit:
            try:
                return await listed(session, target)
            except StatusError:
                return []  # may not be read, or its own server is down

    found = await asyncio.gather(*(ask(Target(one, namespace)) for one in types))
    return [obj for objects in found for obj in objects]


def drawn(top: dict[str, Any], objects: list[dict[str, Any]], now: float, marked: str = "") -> list[list[str]]:
    """One row for each object below `top`; `marked` is the one that was asked for."""
    children: dict[str, dict[str, dict[str, Any]]] = {}
    for obj in objects:
        for owner in obj["metadata"].get("ownerReferences") or ():
            children.setdefault(owner["uid"], {})[obj["metadata"]["uid"]] = obj
    rows: list[list[str]] = []

    def draw(obj: dict[str, Any], start: str, below: str) -> None:
        metadata = obj["metadata"]
        mark = " *" if metadata["uid"] == marked and start else ""
        rows.append([f"{start}{obj['kind']}/{metadata['name']}{mark}", *_state(obj), ages.of(obj, now)])
        under = sorted(
            children.get(metadata["uid"], {}).values(), key=lambda one: (one["kind"], one["metadata"]["name"])
        )
        for number, one in enumerate(under, 1):
            last = number == len(under)
            draw(one, below + ("└─" if last else "├─"), below + ("  " if last else "│ "))

    draw(top, "", "")
    return rows


def _state(obj: dict[str, Any]) -> list[str]:
    status = obj.get("status") or {}
    if not isinstance(status, dict):
        return ["-", ""]
    if "replicas" in (obj.get("spec") or {}):
        return [f"{status.get('readyReplicas', 0)}/{obj['spec']['replicas']}", ""]
    ready = next((one for one in status.get("conditions") or () if one.get("type") in ("Ready", "Available")), None)
    return [str(ready["status"]) if ready else "-", str(status.get("phase") or "")]

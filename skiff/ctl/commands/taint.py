"""`taint`: `key=value:Effect` sets, `key-`, `key:Effect-` removes."""

from __future__ import annotations

from typing import Any

import click

from kubeclient.rest import MERGE
from skiff.ctl.changes import dry_run_option, lasting
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, listed, selector_option
from skiff.ctl.words import command

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@command("taint")
@click.argument("words", nargs=-1, metavar="nodes NAME… KEY=VALUE:EFFECT… KEY[:EFFECT]-…")
@selector_option
@dry_run_option
@click.option("--overwrite", is_flag=True, help="Change what is set already.")
@click.option("--all", "all_", is_flag=True, help="All nodes.")
async def taint_command(
    session: Session, words: tuple[str, ...], selector: str, dry_run: str, overwrite: bool, all_: bool
) -> None:
    """Set or remove taints of nodes."""
    type_ = (await session.catalog()).find("nodes")
    if not words or words[0] not in ("node", "nodes", "no"):
        raise Failure("only nodes have taints: write 'taint nodes NAME KEY=VALUE:EFFECT'")
    names = [word for word in words[1:] if not _is_change(word)]
    changes = [word for word in words[1:] if _is_change(word)]
    if not changes:
        raise Failure("at least one taint update is required")
    if all_ or selector:
        nodes = await listed(session, Target(type_, ""), selector)
    else:
        nodes = [await session.client.get(type_.path("", name)) for name in names]
    for node in nodes:
        taints, what = changed(node, changes, overwrite)
        if dry_run != "client":
            patch: dict[str, Any] = {"spec": {"taints": taints or None}}
            patch["metadata"] = {"resourceVersion": node["metadata"]["resourceVersion"]}
            path = type_.path("", node["metadata"]["name"])
            await session.client.patch(path, patch, MERGE, lasting(dry_run, "skiffctl-taint"))
        click.echo(f"node/{node['metadata']['name']} {what}")


def _is_change(word: str) -> bool:
    return "=" in word or ":" in word or word.endswith("-")


def changed(node: dict[str, Any], changes: list[str], overwrite: bool) -> tuple[list[dict[str, Any]], str]:
    """The new taints, and what to say. Raises Failure."""
    taints: list[dict[str, Any]] = list((node.get("spec") or {}).get("taints") or ())
    added = removed = False
    for change in changes:
        away = change.endswith("-")
        rest, _, effect = change.removesuffix("-").partition(":")
        key, _, value = rest.partition("=")
        if effect and effect not in _EFFECTS:
            raise Failure(f"invalid taint effect: {effect}, unsupported taint effect")
        same = [one for one in taints if one["key"] == key and (not effect or one["effect"] == effect)]
        if away:
            if not same:
                raise Failure(f'taint "{change.removesuffix("-")}" not found')
            taints = [one for one in taints if one not in same]
            removed = True
            continue
        if not effect:
            raise Failure(f"invalid taint spec: {change}")
        if same and not overwrite:
            raise Failure(
                f"node {node['metadata']['name']} already has {key} taint(s) with same effect(s) "
                "and --overwrite is false"
            )
        taints = [one for one in taints if one not in same]
        taints.append({"key": key, "effect": effect, **({"value": value} if value else {})})
        added = True
    return taints, "modified" if added and removed else "tainted" if added else "untainted"

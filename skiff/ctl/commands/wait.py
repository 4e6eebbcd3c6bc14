"""`wait`: for conditions, values at a JSONPath, creation or deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import click

from apimachinery.errors import StatusError
from apimachinery.table.jsonpath import find
from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure, Said
from skiff.ctl.manifests import filename_options
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session, seconds
from skiff.ctl.targets import Target, everywhere_option, listed, resolve, selector_option
from skiff.ctl.waiting import gone, versions
from skiff.ctl.words import command

Judge = Callable[[dict[str, Any]], bool]
_WEEK = 7 * 24 * 3600.0


@command("wait")
@click.argument("words", nargs=-1, metavar="TYPE NAME… | TYPE/NAME…")
@click.option("--for", "wish", required=True, help="delete, create, condition=NAME[=VALUE] or jsonpath='{…}'[=VALUE].")
@click.option("--timeout", default="30s", help="How long; negative: a week.")
@click.option("--all", "all_", is_flag=True, help="All objects of the type.")
@everywhere_option
@selector_option
@filename_options
@output_option
async def wait_command(session: Session, **given: Any) -> None:
    """Wait until objects meet a condition.

    \b
    skiffctl wait deploy/hello --for=condition=Available --timeout=60s
    skiffctl wait pod/x --for=delete
    skiffctl wait pod/x --for=jsonpath='{.status.phase}'=Running
    """
    wish = given["wish"]
    limit = seconds(given["timeout"])
    judge = judge_of(wish) if wish.lower() not in ("delete", "create") else None
    targets = await _targets(session, given, wish.lower() in ("delete", "create"))
    failed = False
    for target in targets:
        try:
            async with asyncio.timeout(_WEEK if limit < 0 else limit or 0.5):
                obj = await _until(session, target, wish.lower(), judge)
        except TimeoutError:
            click.echo(f"error: timed out waiting for the condition on {target.type.plural}/{target.name}", err=True)
            failed = True
            continue
        if wish.lower() == "delete":
            click.echo(f"{target} condition met")
        else:
            report(obj, "condition met", given["output"])
    if failed:
        raise Said


async def _targets(session: Session, given: dict[str, Any], may_be_none: bool) -> list[Target]:
    if given["everywhere"]:
        found = []
        for one in await resolve(session, given["words"], everywhere=True):
            for obj in await listed(session, one, given["selector"]):
                found.append(Target(one.type, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        return found
    targets = await chosen(session, given)
    if not targets:
        raise Failure("no matching resources found")
    if not may_be_none:
        for target in targets:
            await session.client.get(target.path)
    return targets


async def _until(session: Session, target: Target, wish: str, judge: Judge | None) -> dict[str, Any]:
    if wish == "delete":
        try:
            uid = (await session.client.get(target.path))["metadata"]["uid"]
        except StatusError as error:
            if error.code != 404:
                raise
            return {}
        await gone(session, target, uid)
        return {}
    async for obj in versions(session, target):
        if obj is not None and (judge is None or judge(obj)):
            return obj
    raise Failure(f"{target} cannot be watched")


def judge_of(wish: str) -> Judge:
    """Raises Failure for what is no wish."""
    kind, _, rest = wish.partition("=")
    if kind.lower() == "condition":
        name, _, value = rest.partition("=")
        return lambda obj: _condition(obj, name, value or "True")
    if kind.lower() == "jsonpath":
        path, wanted = _split(rest)
        try:
            find(path, {})
        except ValueError as error:
            raise Failure(str(error)) from None
        return lambda obj: _found(find(path, obj), wanted)
    raise Failure(f'unrecognized condition: "{wish}"')


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("{"):
        path, brace, rest = text[1:].rpartition("}")
        if not brace or (rest and not rest.startswith("=")):
            raise Failure(
                f"jsonpath wait format must be --for=jsonpath='{{.status.readyReplicas}}'=3 or without =, not {text}"
            )
        return _dotted(path), rest[1:] if rest else None
    path, equals, rest = text.partition("=")
    return _dotted(path), rest if equals else None


def _dotted(path: str) -> str:
    return path if path.startswith((".", "[", "$")) else f".{path}"


def _condition(obj: dict[str, Any], name: str, value: str) -> bool:
    status = obj.get("status") or {}
    for one in status.get("conditions") or ():
        if str(one.get("type", "")).lower() == name.lower():
            seen = one.get("observedGeneration") or status.get("observedGeneration")
            if seen is not None and seen < obj["metadata"].get("generation", 0):
                return False
            return str(one.get("status", "")).lower() == value.lower()
    return False


def _found(values: list[Any], wanted: str | None) -> bool:
    if wanted is None:
        return bool(values)
    from skiff.ctl.printing.template import shown

    return len(values) == 1 and shown(values[0]) == wanted

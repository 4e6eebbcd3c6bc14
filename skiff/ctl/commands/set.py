"""`set image` and `set env`."""

from __future__ import annotations

import json
from typing import Any

import click

from kubeclient.rest import STRATEGIC
from skiff.ctl.changes import dry_run_option, lasting, manager_option
from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure
from skiff.ctl.manifests import filename_options
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, selector_option
from skiff.ctl.words import Group, command, options

set_command = Group("set", help="Set images or environment variables.")
_PLACES = {"Pod": ("spec",), "CronJob": ("spec", "jobTemplate", "spec", "template", "spec")}
_TEMPLATE = ("spec", "template", "spec")
_SHARED = options(
    click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME NAME=VALUE…"),
    filename_options,
    selector_option,
    output_option,
    dry_run_option,
    manager_option,
    click.option("--all", "all_", is_flag=True, help="All objects of the type."),
)


def containers_of(obj: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each container with the name of its list. Raises Failure for what has none."""
    spec: Any = obj
    for key in _PLACES.get(obj["kind"], _TEMPLATE):
        spec = (spec or {}).get(key)
    if not spec:
        raise Failure(f"{obj['kind']} {obj['metadata']['name']} has no pod template")
    return [(kind, one) for kind in ("initContainers", "containers") for one in spec.get(kind) or ()]


async def _send(
    session: Session,
    target: Target,
    obj: dict[str, Any],
    changes: list[tuple[str, dict[str, Any]]],
    given: dict[str, Any],
    what: str,
) -> None:
    if not changes:
        return
    patch: dict[str, Any] = {}
    spec = patch
    for key in _PLACES.get(obj["kind"], _TEMPLATE):
        spec = spec.setdefault(key, {})
    for kind, change in changes:
        spec.setdefault(kind, []).append(change)
    if given["dry_run"] != "client":
        params = lasting(given["dry_run"], given["field_manager"] or "skiffctl-set")
        obj = await session.client.patch(target.path, patch, STRATEGIC, params)
    report(obj, what, given["output"], given["dry_run"])


@command("image", params=_SHARED)
async def image(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Set images: CONTAINER=IMAGE, or *=IMAGE for all."""
    wanted = dict(word.split("=", 1) for word in words if "=" in word)
    if not wanted:
        raise Failure("at least one image update is required")
    given["words"] = [word for word in words if "=" not in word]
    for target in await chosen(session, given):
        obj = await session.client.get(target.path)
        found = containers_of(obj)
        for name in wanted:
            if name != "*" and name not in [one["name"] for _, one in found]:
                raise Failure(f'unable to find container named "{name}"')
        changes = [
            (kind, {"name": one["name"], "image": wanted.get(one["name"], wanted.get("*", one["image"]))})
            for kind, one in found
            if wanted.get(one["name"], wanted.get("*", one["image"])) != one["image"]
        ]
        await _send(session, target, obj, changes, given, "image updated")


@command("env", params=[*_SHARED])
@click.option("--list", "list_", is_flag=True, help="Show them.")
@click.option("-c", "--containers", default="*", help="Which containers.")
@click.option("--from", "source", default="", help="configmap/NAME or secret/NAME to take all keys of.")
@click.option("--prefix", default="", help="What is put before each key of --from.")
async def env(
    session: Session, words: tuple[str, ...], list_: bool, containers: str, source: str, prefix: str, **given: Any
) -> None:
    """Set environment variables: NAME=VALUE sets, NAME- removes."""
    changes = [word for place, word in enumerate(words) if "=" in word or (place and word.endswith("-"))]
    given["words"] = [word for word in words if word not in changes]
    entries: list[dict[str, Any]] = []
    for word in changes:
        name, equals, value = word.partition("=")
        entries.append({"name": name, "value": value} if equals else {"name": name[:-1], "$patch": "delete"})
    if source:
        entries += await _from(session, source, prefix)
    if not entries and not list_:
        raise Failure("at least one environment variable must be provided")
    for target in await chosen(session, given):
        obj = await session.client.get(target.path)
        chosen_ones = [(kind, one) for kind, one in containers_of(obj) if containers in ("*", one["name"])]
        if list_:
            for _, one in chosen_ones:
                click.echo(f"# {target}, container {one['name']}")
                for entry in one.get("env") or ():
                    reference = f"# {entry['name']} from {json.dumps(entry.get('valueFrom'))}"
                    click.echo(reference if "valueFrom" in entry else f"{entry['name']}={entry.get('value', '')}")
            continue
        patches = [(kind, {"name": one["name"], "env": entries}) for kind, one in chosen_ones]
        await _send(session, target, obj, patches, given, "env updated")


async def _from(session: Session, source: str, prefix: str) -> list[dict[str, Any]]:
    kind, _, name = source.partition("/")
    type_ = (await session.catalog()).find(kind)
    key_of = {"ConfigMap": "configMapKeyRef", "Secret": "secretKeyRef"}.get(type_.kind)
    if key_of is None:
        raise Failure(f"unsupported resource specified in --from: {kind}")
    obj = await session.client.get(type_.path(session.namespace, name))
    upper = {key: prefix + "".join(c if c.isalnum() else "_" for c in key).upper() for key in obj.get("data") or {}}
    return [{"name": upper[key], "valueFrom": {key_of: {"name": name, "key": key}}} for key in sorted(upper)]


for _one in (image, env):
    set_command.add_command(_one)

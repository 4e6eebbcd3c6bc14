"""`label` and `annotate`: `key=value` sets, `key-` removes."""

from __future__ import annotations

import json
from typing import Any

import click

from apimachinery.errors import StatusError
from kubeclient.rest import MERGE
from skiff.ctl.changes import dry_run_option, lasting, manager_option
from skiff.ctl.failures import Failure, Said, lines
from skiff.ctl.manifests import filename_options
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, everywhere_option, field_selector_option, listed, resolve, selector_option
from skiff.ctl.words import Command, command

_FIELDS = {"label": "labels", "annotate": "annotations"}


def split(words: tuple[str, ...]) -> tuple[list[str], dict[str, str | None]]:
    """What is meant, and the changes; None removes. Raises Failure for a key that is both set and removed."""
    objects: list[str] = []
    changes: dict[str, str | None] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key:
            change: str | None = value
        elif word.endswith("-") and len(word) > 1 and objects:
            key, change = word[:-1], None
        else:
            objects.append(word)
            continue
        if changes.get(key, change) != change:
            raise Failure(f'can not both modify and remove "{key}" in the same command')
        changes[key] = change
    return objects, changes


def _declare(name: str, summary: str) -> Command:
    async def run(session: Session, **given: Any) -> None:
        await _Change(session, name, given).run()

    run.__doc__ = summary
    decorated: Any = run
    for decorator in (
        click.argument("words", nargs=-1, metavar="TYPE NAME… | TYPE/NAME… KEY=VALUE… KEY-…"),
        click.option("--overwrite", is_flag=True, help="Change what is set already."),
        click.option("--all", "all_", is_flag=True, help="All objects of the type."),
        click.option("--list", "list_", is_flag=True, help="Show them."),
        click.option("--resource-version", default="", help="Only if this is the version now."),
        manager_option,
        dry_run_option,
        output_option,
        everywhere_option,
        field_selector_option,
        selector_option,
        filename_options,
    ):
        decorated = decorator(decorated)
    return command(name)(decorated)


class _Change:
    def __init__(self, session: Session, name: str, given: dict[str, Any]) -> None:
        self.session = session
        self.given = given
        self.word = name
        self.field = _FIELDS[name]

    async def run(self) -> None:
        words, changes = split(self.given["words"])
        if not changes and not self.given["list_"]:
            raise Failure(f"at least one {self.word.replace('ate', 'ation')} update is required")
        failed = False
        for target in await self._targets(words):
            try:
                await self._change(target, changes)
            except (StatusError, Failure) as error:
                failed = True
                for line in lines(error) or ():
                    click.echo(line, err=True)
        if failed:
            raise Said

    async def _targets(self, words: list[str]) -> list[Target]:
        given = self.given
        if given["filename"]:
            from skiff.ctl.commands.scale import chosen

            return await chosen(self.session, given)
        found = await resolve(self.session, words, everywhere=given["everywhere"])
        if all(one.name for one in found):
            return found
        if not (given["all_"] or given["selector"] or given["field_selector"] or given["list_"]):
            raise Failure("resource(s) were provided, but no name was specified")
        targets = []
        for one in found:
            for obj in await listed(self.session, one, given["selector"], given["field_selector"]):
                targets.append(Target(one.type, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
        return targets

    async def _change(self, target: Target, changes: dict[str, str | None]) -> None:
        obj = await self.session.client.get(target.path)
        have: dict[str, str] = obj["metadata"].get(self.field) or {}
        if self.given["list_"]:
            for key in sorted(have):
                click.echo(f"{key}={have[key]}")
            return
        if not self.given["overwrite"]:
            for key, value in changes.items():
                if value is not None and have.get(key, value) != value:
                    raise Failure(f"'{key}' already has a value ({have[key]}), and --overwrite is false")
        for key, value in changes.items():
            if value is None and key not in have:
                click.echo(f'{self.word} "{key}" not found.')
        new = {key: value for key, value in changes.items() if have.get(key) != value}
        past = "labeled" if self.word == "label" else "annotated"
        if self.word == "label":
            past = "not labeled" if not new else "unlabeled" if all(v is None for v in new.values()) else past
        if new and self.given["dry_run"] != "client":
            metadata: dict[str, Any] = {self.field: new}
            if self.given["resource_version"]:
                metadata["resourceVersion"] = self.given["resource_version"]
            params = lasting(self.given["dry_run"], self.given["field_manager"] or f"skiffctl-{self.word}")
            obj = await self.session.client.patch(target.path, {"metadata": metadata}, MERGE, params)
        elif new:
            merged = {key: value for key, value in {**have, **new}.items() if value is not None}
            obj = {**json.loads(json.dumps(obj)), "metadata": {**obj["metadata"], self.field: merged}}
        report(obj, past, self.given["output"], self.given["dry_run"])


label_command = _declare("label", "Set or remove labels.\n\n    skiffctl label pod/x tier=front old-")
annotate_command = _declare("annotate", "Set or remove annotations.")

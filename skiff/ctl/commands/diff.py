"""`diff`: what apply would change, as a unified diff; exit code 1 when there is a difference."""

from __future__ import annotations

import difflib
from typing import Any

import click

from apimachinery.errors import StatusError
from skiff.ctl.changes import manager_option
from skiff.ctl.commands.apply import Applier
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.printing.documents import to_yaml, without_managed_fields
from skiff.ctl.session import Session
from skiff.ctl.targets import at
from skiff.ctl.words import command


@command("diff")
@filename_options
@manager_option
@click.option("--server-side", is_flag=True, help="As apply --server-side would do it.")
@click.option("--force-conflicts", is_flag=True, help="Take over fields others own.")
async def diff_command(session: Session, **given: Any) -> int:
    """Show what apply would change."""
    applier = Applier(session, {**given, "dry_run": "server", "validate": "Strict"})
    catalog = await session.catalog()
    different = False
    for obj in load(given["filename"], given["recursive"], given["kustomize"]):
        target = at(catalog, obj, session.namespace)
        try:
            before: dict[str, Any] | None = await session.client.get(target.path)
        except StatusError as error:
            if error.code != 404:
                raise
            before = None
        after, _ = await applier.apply(target, obj)
        name = ".".join(
            filter(None, (target.type.group, target.type.version, target.type.kind, target.namespace, target.name))
        )
        old = to_yaml(_shown(before)) if before else ""
        lines = list(
            difflib.unified_diff(
                old.splitlines(True), to_yaml(_shown(after)).splitlines(True), f"LIVE/{name}", f"MERGED/{name}"
            )
        )
        different = different or bool(lines)
        click.echo("".join(lines), nl=False)
    return 1 if different else 0


def _shown(obj: dict[str, Any]) -> dict[str, Any]:
    obj = without_managed_fields(obj)
    if obj.get("kind") != "Secret":
        return obj
    return {key: dict.fromkeys(value, "***") if key in ("data", "stringData") else value for key, value in obj.items()}

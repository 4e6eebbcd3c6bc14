"""`patch`: change fields, by any of the three kinds of patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kubeclient.rest import JSON_PATCH, MERGE, STRATEGIC
from skiff.ctl.changes import dry_run_option, lasting, manager_option
from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure
from skiff.ctl.manifests import documents, filename_options
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session
from skiff.ctl.targets import selector_option
from skiff.ctl.words import command

_KINDS = {"strategic": STRATEGIC, "merge": MERGE, "json": JSON_PATCH}


@command("patch")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
@click.option("-p", "--patch", default="", help="The patch, as JSON or YAML.")
@click.option("--patch-file", default="", help="File that holds it.")
@click.option("--type", "kind", type=click.Choice(list(_KINDS)), default="strategic", help="Kind of the patch.")
@click.option("--subresource", default="", help="status or scale.")
@filename_options
@selector_option
@output_option
@dry_run_option
@manager_option
async def patch_command(session: Session, **given: Any) -> None:
    """Change fields of objects.

    \b
    skiffctl patch deploy/hello -p '{"spec":{"replicas":2}}'
    """
    patch = _patch(given)
    for target in await chosen(session, given):
        path = target.type.path(target.namespace, target.name, given["subresource"])
        before = await session.client.get(path)
        if given["dry_run"] == "client":
            report(before, "patched", given["output"], "client")
            continue
        params = lasting(given["dry_run"], given["field_manager"] or "skiffctl-patch")
        obj = await session.client.patch(path, patch, _KINDS[given["kind"]], params)
        same = before["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion")
        report(obj, "patched (no change)" if same else "patched", given["output"], given["dry_run"])


def _patch(given: dict[str, Any]) -> Any:
    if bool(given["patch"]) == bool(given["patch_file"]):
        raise Failure("must specify exactly one of --patch or --patch-file")
    text = given["patch"] or Path(given["patch_file"]).read_text()
    found = documents(text, "the patch")
    if not found or not isinstance(found[0], (dict, list)):
        raise Failure("unable to parse the patch: it is neither an object nor a list")
    return found[0]

"""`edit`: an object in $EDITOR; what changed is sent as a patch."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from typing import Any

import click

from apimachinery.errors import StatusError
from kubeclient.rest import MERGE
from skiff.ctl.changes import lasting
from skiff.ctl.commands.apply import difference
from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure, lines
from skiff.ctl.manifests import documents, filename_options
from skiff.ctl.printing.documents import to_yaml, without_managed_fields
from skiff.ctl.printing.formats import report
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, selector_option
from skiff.ctl.words import command

_HEAD = """# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
"""


@command("edit")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
@filename_options
@selector_option
async def edit_command(session: Session, **given: Any) -> None:
    """Edit an object in $EDITOR."""
    for target in await chosen(session, given):
        await _edit(session, target)


async def _edit(session: Session, target: Target) -> None:
    before = without_managed_fields(await session.client.get(target.path))
    text, remark = to_yaml(before), ""
    while True:
        edited = _edited(_HEAD + "".join(f"# {line}\n" for line in remark.splitlines()) + text)
        body = "".join(line for line in edited.splitlines(True) if not line.startswith("#"))
        if not body.strip():
            click.echo("Edit cancelled, saved file was empty.", err=True)
            return
        if body == text:
            if remark:
                raise Failure("Edit cancelled, no valid changes were saved.")
            click.echo("Edit cancelled, no changes made.", err=True)
            return
        text = body
        try:
            after = documents(body, "the edited file")[0]
            patch, kind = difference(before, after, before, target)
            if not patch:
                click.echo("Edit cancelled, no changes made.", err=True)
                return
            obj = await session.client.patch(target.path, patch, kind or MERGE, lasting("none", "skiffctl-edit"))
            report(obj, "edited")
            return
        except (StatusError, Failure) as error:
            remark = "\n".join(lines(error) or ())
            if not session.interactive:
                raise


def _edited(text: str) -> str:
    command_line = os.environ.get("KUBE_EDITOR") or os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.NamedTemporaryFile("w+", prefix="skiffctl-edit-", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        ran = subprocess.run([*shlex.split(command_line), file.name], check=False)
        if ran.returncode != 0:
            raise Failure(f"there was a problem with the editor {command_line!r}")
        with open(file.name) as again:  # editors write a new file in its place
            return again.read()

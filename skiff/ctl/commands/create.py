"""`create`: from files with `-f`, or one object of a few kinds from flags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from apimachinery.errors import StatusError
from skiff.ctl.changes import dry_run_option, lasting, manager_option, validate_option
from skiff.ctl.failures import Failure, Said, lines
from skiff.ctl.manifests import filename_options, load
from skiff.ctl.printing.formats import output_option, report
from skiff.ctl.session import Session
from skiff.ctl.targets import at
from skiff.ctl.three_way import remembered
from skiff.ctl.words import Entry, Group, options


async def _create(session: Session, **given: Any) -> None:
    """Create objects from files or flags.

    \b
    skiffctl create -f hello.yaml
    skiffctl create deployment web --image=skiff.local/toolbox
    """
    if given["raw"]:
        text = raw_text(given["filename"])
        answer = await session.client.request(
            "POST", given["raw"], content=text.encode(), headers={"Content-Type": "application/json"}
        )
        click.echo(answer.text)
        return
    if not given["filename"] and not given["kustomize"]:
        raise Failure("must specify one of -f and -k")
    failed = False
    for obj in load(given["filename"], given["recursive"], given["kustomize"]):
        try:
            await made(session, remembered(obj) if given["save_config"] else obj, given)
        except StatusError as error:
            failed = True
            for line in lines(error) or ():
                click.echo(line, err=True)
    if failed:
        raise Said


def raw_text(names: tuple[str, ...]) -> str:
    if len(names) != 1:
        raise Failure("--raw can only use a single local file or stdin")
    return sys.stdin.read() if names[0] == "-" else Path(names[0]).read_text()


async def made(session: Session, obj: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Create an object and say so; with a dry run only say so."""
    dry_run = given.get("dry_run", "none")
    if dry_run != "client":
        target = at(await session.catalog(), obj, session.namespace)
        params = lasting(dry_run, given.get("field_manager") or "skiffctl-create", given.get("validate") or "Strict")
        if target.namespace:
            obj = {**obj, "metadata": {**obj["metadata"], "namespace": target.namespace}}
        obj = await session.client.create(target.type.path(target.namespace), obj, params)
    elif session.flags.namespace and obj.get("kind") not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
        obj = {**obj, "metadata": {**obj["metadata"], "namespace": session.namespace}}
    report(obj, "created", given.get("output", ""), dry_run)
    return obj


_OPTIONS = options(
    filename_options,
    output_option,
    dry_run_option,
    manager_option,
    validate_option,
    click.option("--save-config", is_flag=True, help="Remember the object for a later apply."),
    click.option("--raw", default="", hidden=True),
)
_FLAGS = "skiff.ctl.commands.create_from_flags"
_ACCESS = "skiff.ctl.commands.create_access"

create_command = Group(
    "create",
    callback=_create,
    invoke_without_command=True,
    params=_OPTIONS,
    help=_create.__doc__,
    commands_below={
        "namespace": Entry(_FLAGS, "namespace", "Create a namespace"),
        "ns": Entry(_FLAGS, "namespace", "The same"),
        "deployment": Entry(_FLAGS, "deployment", "Create a deployment"),
        "deploy": Entry(_FLAGS, "deployment", "The same"),
        "configmap": Entry(_FLAGS, "configmap", "Create a config map from files and words"),
        "cm": Entry(_FLAGS, "configmap", "The same"),
        "secret": Entry(_FLAGS, "secret", "Create a secret: generic or tls"),
        "job": Entry(_FLAGS, "job", "Create a job"),
        "serviceaccount": Entry(_ACCESS, "serviceaccount", "Create a service account"),
        "sa": Entry(_ACCESS, "serviceaccount", "The same"),
        "token": Entry(_ACCESS, "token", "Ask for a token of a service account"),
        "role": Entry(_ACCESS, "role", "Create a role"),
        "clusterrole": Entry(_ACCESS, "clusterrole", "Create a cluster role"),
        "rolebinding": Entry(_ACCESS, "rolebinding", "Bind a role to users, groups or accounts"),
        "clusterrolebinding": Entry(_ACCESS, "clusterrolebinding", "Bind a cluster role for all namespaces"),
    },
)

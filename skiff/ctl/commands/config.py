"""`config`: look at the kubeconfig, and choose among its contexts."""

from __future__ import annotations

from typing import Any

import click

from skiff.ctl.failures import Failure
from skiff.ctl.kubeconfig_file import changed
from skiff.ctl.printing.columns import Columns
from skiff.ctl.printing.documents import to_json, to_yaml
from skiff.ctl.session import Session, merged_document
from skiff.ctl.words import Group, command

config_command = Group("config", help="Show and change the kubeconfig.")
_SECRET = {
    "certificate-authority-data": "DATA+OMITTED",
    "client-certificate-data": "DATA+OMITTED",
    "client-key-data": "DATA+OMITTED",
    "token": "REDACTED",
    "password": "REDACTED",
}


@command("view")
@click.option("--raw", is_flag=True, help="Keys and tokens too.")
@click.option("--minify", is_flag=True, help="Only what the current context needs.")
@click.option("--flatten", is_flag=True, hidden=True)
@click.option("-o", "--output", default="yaml", help="yaml, json or jsonpath=….")
def view(session: Session, raw: bool, minify: bool, flatten: bool, output: str) -> None:
    """Show the kubeconfig, all files as one."""
    document = {"apiVersion": "v1", "kind": "Config", **merged_document(session.flags)}
    for plural in ("clusters", "contexts", "users"):
        document.setdefault(plural, [])
    document.setdefault("current-context", "")
    if session.flags.context:
        document["current-context"] = session.flags.context
    if minify:
        document = _minified(document)
    if not raw:
        document = _redacted(document)
    name, _, rest = output.partition("=")
    if name == "jsonpath":
        from skiff.ctl.printing.template import Template

        try:
            click.echo(Template(rest).render(document), nl=False)
        except ValueError as error:
            raise Failure(f"error parsing jsonpath {rest}, {error}") from None
        return
    click.echo(to_json(document) if name == "json" else to_yaml(document), nl=False)


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _SECRET[key] if key in _SECRET and one else _redacted(one) for key, one in value.items()}
    return [_redacted(one) for one in value] if isinstance(value, list) else value


def _minified(document: dict[str, Any]) -> dict[str, Any]:
    name = document["current-context"]
    context = next((one for one in document["contexts"] if one["name"] == name), None)
    if context is None:
        raise Failure("current-context must exist in order to minify")
    keep = {"clusters": context["context"].get("cluster"), "users": context["context"].get("user"), "contexts": name}
    return {
        key: [one for one in value if one["name"] == keep[key]] if key in keep else value
        for key, value in document.items()
    }


@command("get-contexts")
@click.argument("name", default="")
@click.option("-o", "--output", type=click.Choice(["", "name"]), default="")
@click.option("--no-headers", is_flag=True)
def get_contexts(session: Session, name: str, output: str, no_headers: bool) -> None:
    """List the contexts."""
    document = merged_document(session.flags)
    found = [one for one in document.get("contexts") or () if not name or one["name"] == name]
    if name and not found:
        raise Failure(f"context {name} not found")
    found.sort(key=lambda one: str(one["name"]))
    if output == "name":
        for one in found:
            click.echo(one["name"])
        return
    rows = [] if no_headers else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for one in found:
        context = one.get("context") or {}
        mark = "*" if one["name"] == document.get("current-context") else ""
        rows.append([mark, one["name"], *(str(context.get(key) or "") for key in ("cluster", "user", "namespace"))])
    for line in Columns().lines(rows):
        click.echo(line)


@command("current-context")
def current_context(session: Session) -> None:
    """Show which context is current."""
    name = merged_document(session.flags).get("current-context")
    if not name:
        raise Failure("current-context is not set")
    click.echo(name)


@command("use-context")
@click.argument("name")
def use_context(session: Session, name: str) -> None:
    """Choose the current context."""
    if not any(one["name"] == name for one in merged_document(session.flags).get("contexts") or ()):
        raise Failure(f'no context exists with the name: "{name}"')
    with changed(session.flags, "current-context") as document:
        document["current-context"] = name
    click.echo(f'Switched to context "{name}".')


@command("set-context")
@click.argument("name", default="")
@click.option("--current", is_flag=True, help="The current context.")
def set_context(session: Session, name: str, current: bool) -> None:
    """Make or change a context; --cluster, --user and --namespace say how."""
    flags = session.flags
    if current:
        name = str(merged_document(flags).get("current-context") or "")
    if not name:
        raise Failure("you must specify a non-empty context name or --current")
    given = {"cluster": flags.cluster, "user": flags.user, "namespace": flags.namespace}
    with changed(flags, "contexts", name) as document:
        contexts = document.setdefault("contexts", [])
        entry = next((one for one in contexts if one["name"] == name), None)
        what = "modified" if entry else "created"
        if entry is None:
            entry = {"name": name, "context": {"cluster": "", "user": ""}}
            contexts.append(entry)
        entry["context"] = {**(entry.get("context") or {}), **{key: value for key, value in given.items() if value}}
    click.echo(f'Context "{name}" {what}.')


@command("delete-context")
@click.argument("name")
def delete_context(session: Session, name: str) -> None:
    """Remove a context."""
    with changed(session.flags, "contexts", name) as document:
        left = [one for one in document.get("contexts") or () if one["name"] != name]
        if len(left) == len(document.get("contexts") or ()):
            raise Failure(f"cannot delete context {name}, not in {session.flags.kubeconfig or 'the kubeconfig'}")
        document["contexts"] = left
    click.echo(f"deleted context {name}")


for _one in (view, get_contexts, current_context, use_context, set_context, delete_context):
    config_command.add_command(_one)

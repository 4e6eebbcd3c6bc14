"""`auth`: who am I, and what may I do."""

from __future__ import annotations

from typing import Any

import click

from skiff.ctl.catalog import Catalog, UnknownResource
from skiff.ctl.failures import Said
from skiff.ctl.printing.columns import Columns
from skiff.ctl.printing.formats import output_option, printer
from skiff.ctl.session import Session
from skiff.ctl.targets import everywhere_option
from skiff.ctl.words import Group, command

auth_command = Group("auth", help="Ask who you are and what you may do.")
_AUTHORIZATION = "/apis/authorization.k8s.io/v1"


@command("can-i")
@click.argument("words", nargs=-1, metavar="VERB [TYPE[/NAME] | /PATH]")
@click.option("--list", "list_", is_flag=True, help="Everything that is allowed.")
@click.option("--subresource", default="", help="log, scale, …")
@click.option("-q", "--quiet", is_flag=True, help="The exit code only.")
@everywhere_option
async def can_i(
    session: Session, words: tuple[str, ...], list_: bool, subresource: str, quiet: bool, everywhere: bool
) -> int:
    """Whether an action is allowed: yes (0) or no (1).

    \b
    skiffctl auth can-i create deployments --as=system:serviceaccount:default:bob
    """
    if list_:
        await _list(session)
        return 0
    if not words or (len(words) == 1 and not words[0].startswith("/")):
        raise click.UsageError("you must specify two arguments: verb resource or verb resource/resourceName")
    spec = _question(await session.catalog(), words, "" if everywhere else session.namespace, subresource)
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    status = (await session.client.create(f"{_AUTHORIZATION}/selfsubjectaccessreviews", body))["status"]
    if not quiet:
        reason = f" - {status['reason']}" if not status["allowed"] and status.get("reason") else ""
        click.echo("yes" if status["allowed"] else f"no{reason}")
    if not status["allowed"]:
        raise Said
    return 0


def _question(catalog: Catalog, words: tuple[str, ...], namespace: str, subresource: str) -> dict[str, Any]:
    verb, what = words[0], words[1]
    if what.startswith("/"):
        return {"nonResourceAttributes": {"verb": verb, "path": what}}
    kind, _, name = what.partition("/")
    attributes = {"verb": verb, "namespace": namespace, "name": name or (words[2] if len(words) > 2 else "")}
    if kind == "*":
        attributes |= {"group": "*", "resource": "*"}
    else:
        try:
            found = catalog.find(kind)
            attributes |= {"group": found.group, "resource": found.plural}
            if not found.namespaced:
                attributes["namespace"] = ""
                click.echo(f"Warning: resource '{found.plural}' is not namespace scoped\n", err=True)
        except UnknownResource:
            click.echo(f"Warning: the server doesn't have a resource type '{kind}'\n", err=True)
            attributes |= {"group": "", "resource": kind}
    if subresource:
        attributes["subresource"] = subresource
    return {"resourceAttributes": attributes}


async def _list(session: Session) -> None:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": session.namespace},
    }
    status = (await session.client.create(f"{_AUTHORIZATION}/selfsubjectrulesreviews", body))["status"]
    rows = [["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]]
    for rule in status.get("resourceRules") or ():
        for resource in rule.get("resources") or ():
            group = (rule.get("apiGroups") or [""])[0]
            name = f"{resource}.{group}" if group else resource
            rows.append([name, "[]", _words(rule.get("resourceNames")), _words(rule.get("verbs"))])
    for rule in status.get("nonResourceRules") or ():
        for url in rule.get("nonResourceURLs") or ():
            rows.append(["", f"[{url}]", "[]", _words(rule.get("verbs"))])
    for line in Columns().lines(rows):
        click.echo(line)


def _words(found: list[str] | None) -> str:
    return f"[{' '.join(found or ())}]"


@command("whoami")
@output_option
async def whoami(session: Session, output: str) -> None:
    """Who the server takes you for."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await session.client.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    if (shape := printer(output)) is not None:
        click.echo(shape(answer), nl=False)
        return
    user = answer["status"]["userInfo"]
    rows = [["ATTRIBUTE", "VALUE"], ["Username", user.get("username", "")]]
    if user.get("uid"):
        rows.append(["UID", user["uid"]])
    if user.get("groups"):
        rows.append(["Groups", _words(user["groups"])])
    rows += [[f"Extra: {key}", _words(value)] for key, value in sorted((user.get("extra") or {}).items())]
    for line in Columns().lines(rows):
        click.echo(line)


for _one in (can_i, whoami):
    auth_command.add_command(_one)

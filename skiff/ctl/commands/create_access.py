"""`create serviceaccount`, `token`, roles and their bindings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from skiff.ctl.catalog import Catalog
from skiff.ctl.commands.create import made
from skiff.ctl.commands.create_from_flags import making
from skiff.ctl.failures import Failure
from skiff.ctl.printing.documents import to_json, to_yaml
from skiff.ctl.session import Session, seconds
from skiff.ctl.words import Command, command

_RBAC = "rbac.authorization.k8s.io"


@command("serviceaccount")
@click.argument("name")
@making
async def serviceaccount_command(session: Session, name: str, **given: Any) -> None:
    """Create a service account."""
    await made(session, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}, given)


@command("token")
@click.argument("name")
@click.option("--audience", multiple=True, help="Whom the token is for.")
@click.option("--duration", default="", help="How long it is good, e.g. 1h.")
@click.option("-o", "--output", type=click.Choice(["", "json", "yaml"]), default="")
async def token_command(session: Session, name: str, audience: tuple[str, ...], duration: str, output: str) -> None:
    """Ask for a token of a service account."""
    spec: dict[str, Any] = {"audiences": list(audience)} if audience else {}
    if duration:
        spec["expirationSeconds"] = round(seconds(duration))
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{session.namespace}/serviceaccounts/{name}/token"
    answer = await session.client.create(path, request)
    if output:
        click.echo(to_json(answer) if output == "json" else to_yaml(answer), nl=False)
    else:
        click.echo(answer["status"]["token"])


def _role(kind: str) -> Command:
    @click.argument("name")
    @click.option("--verb", multiple=True, required=True, help="get, list, watch, create, update, patch, delete, *.")
    @click.option("--resource", multiple=True, help="Resources, as pods or deployments.apps/scale.")
    @click.option("--resource-name", multiple=True, help="Only objects of these names.")
    @making
    async def run(
        session: Session,
        name: str,
        verb: tuple[str, ...],
        resource: tuple[str, ...],
        resource_name: tuple[str, ...],
        **given: Any,
    ) -> None:
        if not resource:
            raise Failure("at least one resource must be specified")
        rules = _rules(await session.catalog(), _split(verb), _split(resource), list(resource_name))
        obj = {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": {"name": name}, "rules": rules}
        await made(session, obj, given)

    run.__doc__ = f"Create a {'cluster ' if kind.startswith('Cluster') else ''}role."
    return command(kind.lower())(run)


def _split(words: tuple[str, ...]) -> list[str]:
    return [one for word in words for one in word.split(",") if one]


def _rules(catalog: Catalog, verbs: list[str], resources: list[str], names: list[str]) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for word in resources:
        main, slash, sub = word.partition("/")
        if main == "*":
            groups.setdefault("*", []).append("*")
            continue
        found = catalog.find(main)
        groups.setdefault(found.group, []).append(f"{found.plural}{slash}{sub}")
    more = {"resourceNames": names} if names else {}
    return [{"apiGroups": [group], "resources": found, "verbs": verbs, **more} for group, found in groups.items()]


role_command = _role("Role")
clusterrole_command = _role("ClusterRole")


def _binding(kind: str) -> Command:
    def roles(function: Callable[..., Any]) -> Callable[..., Any]:
        return click.option("--role", default="", help="Role to bind.", hidden=kind != "RoleBinding")(function)

    @click.argument("name")
    @click.option("--clusterrole", default="", help="Cluster role to bind.")
    @roles
    @click.option("--user", "users", multiple=True, help="User name.")
    @click.option("--group", "groups", multiple=True, help="Group.")
    @click.option("--serviceaccount", "accounts", multiple=True, help="NAMESPACE:NAME.")
    @making
    async def run(session: Session, name: str, clusterrole: str, role: str, **given: Any) -> None:
        if bool(clusterrole) == bool(role):
            raise Failure("exactly one of clusterrole or role must be specified")
        subjects: list[dict[str, str]] = []
        for key, subject in (("users", "User"), ("groups", "Group")):
            subjects += [{"kind": subject, "apiGroup": _RBAC, "name": one} for one in given.pop(key)]
        for one in given.pop("accounts"):
            namespace, colon, account = one.partition(":")
            if not colon:
                raise Failure("serviceaccount must be <namespace>:<name>")
            subjects.append({"kind": "ServiceAccount", "name": account, "namespace": namespace})
        reference = {"apiGroup": _RBAC, "kind": "Role" if role else "ClusterRole", "name": role or clusterrole}
        obj = {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": {"name": name}}
        await made(session, {**obj, "roleRef": reference, "subjects": subjects}, given)

    run.__doc__ = "Bind a role to users, groups or accounts."
    return command(kind.lower())(run)


rolebinding_command = _binding("RoleBinding")
clusterrolebinding_command = _binding("ClusterRoleBinding")

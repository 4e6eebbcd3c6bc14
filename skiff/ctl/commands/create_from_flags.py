"""`create namespace`, `deployment`, `configmap`, `secret`, `job`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from skiff.ctl.changes import dry_run_option, manager_option, validate_option
from skiff.ctl.commands.create import made
from skiff.ctl.failures import Failure
from skiff.ctl.printing.formats import output_option
from skiff.ctl.session import Session
from skiff.ctl.words import Group, command


def making(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that makes one object."""
    for option in (validate_option, manager_option, dry_run_option, output_option):
        function = option(function)
    return click.option("--save-config", is_flag=True, hidden=True)(function)


@command("namespace")
@click.argument("name")
@making
async def namespace_command(session: Session, name: str, **given: Any) -> None:
    """Create a namespace."""
    await made(session, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, given)


@command("deployment")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[-- COMMAND…]")
@click.option("--image", multiple=True, required=True, help="Image; several make several containers.")
@click.option("-r", "--replicas", type=int, default=1, help="How many pods.")
@click.option("--port", type=int, default=0, help="Port the container listens on.")
@making
async def deployment_command(
    session: Session, name: str, words: tuple[str, ...], image: tuple[str, ...], replicas: int, port: int, **given: Any
) -> None:
    """Create a deployment."""
    if len(image) > 1 and words:
        raise Failure("cannot specify multiple --image options and command")
    containers: list[dict[str, Any]] = [{"name": _container_name(one), "image": one} for one in image]
    if words:
        containers[0]["command"] = list(words)
    if port:
        containers[0]["ports"] = [{"containerPort": port}]
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "labels": labels}
    await made(session, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}, given)


def _container_name(image: str) -> str:
    """`registry:5000/team/web:1.2` -> `web`."""
    last = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return last.replace("_", "-").replace(".", "-")


@command("job")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[-- COMMAND…]")
@click.option("--image", default="", help="Image to run.")
@click.option("--from", "source", default="", help="cronjob/NAME to take the template from.")
@making
async def job_command(
    session: Session, name: str, words: tuple[str, ...], image: str, source: str, **given: Any
) -> None:
    """Create a job."""
    if bool(image) == bool(source):
        raise Failure("either --image or --from must be specified")
    job: dict[str, Any] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    if source:
        kind, _, cron_name = source.partition("/")
        if kind.partition(".")[0] not in ("cronjob", "cronjobs", "cj"):
            raise Failure(f"from must be an existing cronjob: {source}")
        cron = await session.client.get(f"/apis/batch/v1/namespaces/{session.namespace}/cronjobs/{cron_name}")
        template = cron["spec"]["jobTemplate"]
        metadata = template.get("metadata") or {}
        annotations = {"cronjob.kubernetes.io/instantiate": "manual", **(metadata.get("annotations") or {})}
        owner = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": cron_name,
            "uid": cron["metadata"]["uid"],
            "controller": True,
        }
        job["metadata"] |= {
            "annotations": annotations,
            "labels": metadata.get("labels") or {},
            "ownerReferences": [owner],
        }
        job["spec"] = template["spec"]
    else:
        container: dict[str, Any] = {"name": name, "image": image}
        if words:
            container["command"] = list(words)
        job["spec"] = {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}}
    await made(session, job, given)


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--from-env-file", multiple=True, help="File of KEY=VALUE lines."),
        click.option("--from-file", multiple=True, help="[KEY=]FILE, or a folder of files."),
        click.option("--from-literal", multiple=True, help="KEY=VALUE."),
    ):
        function = option(function)
    return function


def collected(literals: Sequence[str], files: Sequence[str], environments: Sequence[str]) -> dict[str, bytes]:
    """Raises Failure for a key that comes twice, a file that is missing, a word without `=`."""
    pairs: list[tuple[str, bytes]] = []
    for word in literals:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Failure(f"invalid literal source {word}, expected key=value")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        pairs.append((key, value.encode()))
    for word in files:
        key, equals, name = word.partition("=")
        path = Path(name if equals else word)
        if not path.exists():
            raise Failure(f"error reading {path}: no such file or directory")
        if path.is_dir():
            pairs += [(one.name, one.read_bytes()) for one in sorted(path.iterdir()) if one.is_file()]
        else:
            pairs.append((key if equals else path.name, path.read_bytes()))
    for name in environments:
        for line in Path(name).read_text().splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                key, _, value = line.lstrip().partition("=")
                pairs.append((key, value.encode()))
    found: dict[str, bytes] = {}
    for key, content in pairs:
        if key in found:
            raise Failure(f'cannot add key "{key}", another key by that name already exists')
        found[key] = content
    return found


@command("configmap")
@click.argument("name")
@data_options
@making
async def configmap_command(
    session: Session,
    name: str,
    from_literal: tuple[str, ...],
    from_file: tuple[str, ...],
    from_env_file: tuple[str, ...],
    **given: Any,
) -> None:
    """Create a config map from files and words."""
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    for key, content in collected(from_literal, from_file, from_env_file).items():
        try:
            obj.setdefault("data", {})[key] = content.decode()
        except UnicodeDecodeError:
            obj.setdefault("binaryData", {})[key] = base64.b64encode(content).decode()
    await made(session, obj, given)


secret_command = Group("secret", help="Create a secret.")


def _secret(name: str, kind: str, data: dict[str, bytes]) -> dict[str, Any]:
    encoded = {key: base64.b64encode(content).decode() for key, content in data.items()}
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind}
    return {**obj, "data": encoded} if encoded else obj


@command("generic")
@click.argument("name")
@click.option("--type", "kind", default="Opaque", help="Type of the secret.")
@data_options
@making
async def generic(
    session: Session,
    name: str,
    kind: str,
    from_literal: tuple[str, ...],
    from_file: tuple[str, ...],
    from_env_file: tuple[str, ...],
    **given: Any,
) -> None:
    """Create a secret from files and words."""
    await made(session, _secret(name, kind, collected(from_literal, from_file, from_env_file)), given)


@command("tls")
@click.argument("name")
@click.option("--cert", required=True, help="PEM file of the certificate.")
@click.option("--key", required=True, help="PEM file of its key.")
@making
async def tls(session: Session, name: str, cert: str, key: str, **given: Any) -> None:
    """Create a secret of a certificate and its key."""
    data = collected((), (f"tls.crt={cert}", f"tls.key={key}"), ())
    await made(session, _secret(name, "kubernetes.io/tls", data), given)


for _one in (generic, tls):
    secret_command.add_command(_one)

"""`expose`: a service for the pods of a workload, a pod or another service."""

from __future__ import annotations

from typing import Any

import click

from skiff.ctl.commands.create import made
from skiff.ctl.commands.create_from_flags import making
from skiff.ctl.commands.scale import chosen
from skiff.ctl.failures import Failure
from skiff.ctl.session import Session
from skiff.ctl.words import command


@command("expose")
@click.argument("words", nargs=-1, metavar="TYPE NAME | TYPE/NAME")
@click.option("-f", "--filename", multiple=True, help="File that holds the object.")
@click.option("--name", default="", help="Name of the service.")
@click.option("--port", default="", help="Port of the service.")
@click.option("--target-port", default="", help="Port of the pods, number or name.")
@click.option("--protocol", default="", help="TCP, UDP or SCTP.")
@click.option("--type", "kind", default="", help="ClusterIP, NodePort, LoadBalancer or ExternalName.")
@click.option("--selector", "labels", default="", help="Labels of the pods, in place of the object's own.")
@click.option("-l", "--labels", "own_labels", default="", help="Labels of the service.")
@click.option("--cluster-ip", default="", help="Address of the service; None for a headless one.")
@click.option("--external-ip", default="", help="Further address.")
@click.option("--session-affinity", default="", help="None or ClientIP.")
@making
async def expose_command(session: Session, **given: Any) -> None:
    """Make a service for an object.

    \b
    skiffctl expose deploy/hello --port=80 --target-port=8080
    """
    for target in await chosen(session, {**given, "selector": "", "recursive": False}):
        obj = await session.client.get(target.path)
        await made(session, service_of(obj, given), given)


def service_of(obj: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Raises Failure when neither the object nor the flags say enough."""
    selector = _labels(given["labels"]) if given["labels"] else _selector(obj)
    ports = _ports(obj, given)
    metadata: dict[str, Any] = {"name": given["name"] or obj["metadata"]["name"]}
    labels = _labels(given["own_labels"]) if given["own_labels"] else obj["metadata"].get("labels")
    if labels:
        metadata["labels"] = labels
    spec: dict[str, Any] = {"selector": selector, "ports": ports}
    for key, field in (("kind", "type"), ("cluster_ip", "clusterIP"), ("session_affinity", "sessionAffinity")):
        if given[key]:
            spec[field] = given[key]
    if given["external_ip"]:
        spec["externalIPs"] = [given["external_ip"]]
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _selector(obj: dict[str, Any]) -> dict[str, str]:
    if obj["kind"] == "Pod":
        found = obj["metadata"].get("labels")
    else:
        found = (obj.get("spec") or {}).get("selector")
        if found and ("matchLabels" in found or "matchExpressions" in found):
            if found.get("matchExpressions"):
                raise Failure("couldn't convert expressions to a map of labels; use --selector")
            found = found["matchLabels"]
    if not found:
        raise Failure("couldn't retrieve selectors via --selector flag or introspection")
    return dict(found)


def _ports(obj: dict[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
    spec = obj.get("spec") or {}
    if given["port"]:
        found: list[dict[str, Any]] = [{"port": int(one)} for one in given["port"].split(",") if one.isdigit()]
        if not found:
            raise Failure(f"--port {given['port']!r} is no port")
    elif obj["kind"] == "Service":
        found = [{key: one[key] for key in ("name", "port", "protocol") if key in one} for one in spec["ports"]]
    else:
        pod = spec if obj["kind"] == "Pod" else (spec.get("template") or {}).get("spec") or {}
        ports = [one for container in pod.get("containers") or () for one in container.get("ports") or ()]
        found = [{"port": one["containerPort"], "protocol": one.get("protocol", "TCP")} for one in ports]
    if not found:
        raise Failure("couldn't find port via --port flag or introspection")
    for number, port in enumerate(found, 1):
        if len(found) > 1:
            port.setdefault("name", f"port-{number}")
        if given["protocol"]:
            port["protocol"] = given["protocol"].upper()
        wanted = given["target_port"]
        port["targetPort"] = (int(wanted) if wanted.isdigit() else wanted) if wanted else port["port"]
    return found


def _labels(text: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in text.split(",")]
    if any(not equals for _, equals, _ in pairs):
        raise Failure(f"unexpected label spec: {text}")
    return {key: value for key, _, value in pairs}

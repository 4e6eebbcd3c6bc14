"""`why`: one answer to why a pod is not running, put together from its conditions, its containers and its events."""

from __future__ import annotations

from typing import Any

import click

from skiff.ctl.describe.pieces import last_seen
from skiff.ctl.pods import pod_named
from skiff.ctl.session import Session
from skiff.ctl.targets import Target, listed
from skiff.ctl.words import command

JSON = dict[str, Any]
_SHOWN_EVENTS = 5
_ADVICE = {
    "ImagePullBackOff": "check the image's name, and that the node can reach its registry",
    "ErrImagePull": "check the image's name, and that the node can reach its registry",
    "ErrImageNeverPull": "the image must be on the node: skiff image load, or another imagePullPolicy",
    "CrashLoopBackOff": "see what it said before it ended: skiffctl logs {pod} -c {container} --previous",
    "CreateContainerConfigError": "a ConfigMap, a Secret or a key it needs is missing",
    "OOMKilled": "it needs more memory than its limit",
}


@command("why")
@click.argument("word", metavar="POD | TYPE/NAME")
async def why_command(session: Session, word: str) -> int:
    """Say why a pod is not running.

    \b
    skiffctl why hello-1
    skiffctl why deploy/hello
    """
    pod = await pod_named(session, word)
    metadata = pod["metadata"]
    catalog = await session.catalog()
    target = Target(catalog.find("events"), metadata["namespace"])
    fields = f"involvedObject.name={metadata['name']},involvedObject.uid={metadata['uid']}"
    events = sorted(await listed(session, target, "", fields), key=last_seen)
    reasons = explained(pod)
    click.echo(f"pod {metadata['namespace']}/{metadata['name']}: {'is fine' if not reasons else reasons[0]}")
    for line in reasons[1:]:
        click.echo(f"  {line}")
    if not reasons:
        return 0
    warnings = [event for event in events if event.get("type") == "Warning"][-_SHOWN_EVENTS:]
    for event in warnings:
        click.echo(f"  event {event.get('reason')}: {str(event.get('message') or '').strip()}")
    return 0


def explained(pod: JSON) -> list[str]:
    """The sentence first, then what supports it; empty for a pod that is ready or done."""
    status = pod.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    phase = status.get("phase")
    if pod["metadata"].get("deletionTimestamp"):
        holders = pod["metadata"].get("finalizers")
        return ["is being deleted" + (f"; finalizers hold it: {', '.join(holders)}" if holders else "")]
    if phase == "Succeeded":
        return []
    if phase == "Failed":
        text = " ".join(filter(None, (status.get("reason"), status.get("message"))))
        return [f"has failed{': ' + text if text else ''}", *_containers(pod)]
    gates = pod["spec"].get("schedulingGates")
    if gates:
        return [f"waits for its scheduling gates: {', '.join(one['name'] for one in gates)}"]
    scheduled = conditions.get("PodScheduled") or {}
    if not pod["spec"].get("nodeName"):
        message = str(scheduled.get("message") or "")
        if not message:
            return ["the scheduler has not looked at it yet; is the scheduler running?"]
        return ["no node takes it", *split_message(message)]
    found = _containers(pod)
    if found:
        return [f"is on node {pod['spec']['nodeName']}, but not all of its containers run", *found]
    ready = conditions.get("Ready") or {}
    if phase == "Running" and ready.get("status") == "True":
        return []
    if not status.get("startTime"):
        return [
            f"is bound to node {pod['spec']['nodeName']}, whose kubelet has not taken it up yet; is the node ready?"
        ]
    if phase == "Running":
        message = str(ready.get("message") or "its readiness probe has not succeeded yet")
        return [f"runs on node {pod['spec']['nodeName']}, but is not ready", message]
    return [f"is being started on node {pod['spec']['nodeName']}"]


def split_message(message: str) -> list[str]:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had … . preemption: …` as one line for each reason."""
    head, _, rest = message.partition(": ")
    if not rest:
        return [message]
    main, dot, preemption = rest.partition(". preemption: ")
    lines = [head, *(f"- {one.strip().rstrip('.')}" for one in main.split(", "))]
    return [*lines, f"preemption: {preemption.rstrip('.')}"] if dot else lines


def _containers(pod: JSON) -> list[str]:
    status = pod.get("status") or {}
    lines = []
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        state = one.get("state") or {}
        before = (one.get("lastState") or {}).get("terminated") or {}
        reason = ""
        if waiting := state.get("waiting"):
            reason = str(waiting.get("reason") or "")
            if reason in ("PodInitializing", "ContainerCreating") and not waiting.get("message"):
                continue
            lines.append(f"container {one['name']} waits: {': '.join(filter(None, (reason, waiting.get('message'))))}")
        elif (ended := state.get("terminated")) and ended.get("exitCode"):
            reason = str(ended.get("reason") or "")
            lines.append(f"container {one['name']} ended with exit code {ended['exitCode']} ({reason})")
        if before and reason:
            lines.append(
                f"container {one['name']} ended before with exit code {before.get('exitCode')} ({before.get('reason')})"
            )
        for word in (reason, str(before.get("reason") or "")):
            if reason and word in _ADVICE:
                lines.append("advice: " + _ADVICE[word].format(pod=pod["metadata"]["name"], container=one["name"]))
    return lines

"""Rows of what runs pods: workloads, jobs, autoscalers, budgets."""

from __future__ import annotations

from typing import Any

from apimachinery import timestamps
from apimachinery.table import ages
from apimachinery.table.formats import NONE, UNSET, labels, name, quantity, selector, template_cells

Obj = dict[str, Any]
Cells = list[Any]


def _parts(obj: Obj) -> tuple[Obj, Obj]:
    return obj.get("spec") or {}, obj.get("status") or {}


def deployment(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    return [
        name(obj),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        ages.of(obj, now),
        *template_cells(spec.get("template")),
        selector(spec.get("selector"), broken="<invalid>", empty=""),
    ]


def replica_set(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    wanted = spec.get("selector")
    return [
        name(obj),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        ages.of(obj, now),
        *template_cells(spec.get("template")),
        selector(wanted),
    ]


def replication_controller(obj: Obj, now: float) -> Cells:
    cells = replica_set({**obj, "spec": {**(obj.get("spec") or {}), "selector": None}}, now)
    return [*cells[:-1], labels((obj.get("spec") or {}).get("selector"))]


def stateful_set(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    ready = f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}"
    return [name(obj), ready, ages.of(obj, now), *template_cells(spec.get("template"))]


def daemon_set(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    fields = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    template = spec.get("template") or {}
    return [
        name(obj),
        *(status.get(field) or 0 for field in fields),
        labels((template.get("spec") or {}).get("nodeSelector")),
        ages.of(obj, now),
        *template_cells(template),
        selector(spec.get("selector")),
    ]


def job(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    done, wanted, parallel = status.get("succeeded") or 0, spec.get("completions"), spec.get("parallelism") or 0
    if wanted is not None:
        completions = f"{done}/{wanted}"
    else:
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    started, ended = status.get("startTime"), status.get("completionTime")
    duration = ""
    if started:
        begin = timestamps.parse_or(started, now)
        duration = ages.human(timestamps.parse_or(ended, now) - begin)
    return [
        name(obj),
        _job_state(obj),
        completions,
        duration,
        ages.of(obj, now),
        *template_cells(spec.get("template")),
        selector(spec.get("selector")),
    ]


def _job_state(obj: Obj) -> str:
    first: dict[Any, Any] = {}
    for condition in (obj.get("status") or {}).get("conditions") or ():
        first.setdefault(condition.get("type"), condition.get("status"))
    for kind in ("Complete", "Failed"):
        if first.get(kind) == "True":
            return kind
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if first.get(kind) == "True":
            return kind
    return "Running"


def cron_job(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    suspend, last = spec.get("suspend"), status.get("lastScheduleTime")
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    return [
        name(obj),
        spec.get("schedule") or "",
        NONE if spec.get("timeZone") is None else spec["timeZone"],
        UNSET if suspend is None else str(suspend),
        len(status.get("active") or ()),
        ages.since(last, now) if last else NONE,
        ages.of(obj, now),
        *template_cells(inner.get("template")),
        selector(inner.get("selector")),
    ]


def pod_template(obj: Obj, now: float) -> Cells:
    template = obj.get("template") or {}
    return [name(obj), *template_cells(template), labels((template.get("metadata") or {}).get("labels"))]


def disruption_budget(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    bounds = (spec.get(field) for field in ("minAvailable", "maxUnavailable"))
    shown = ("N/A" if bound is None else str(bound) for bound in bounds)
    return [name(obj), *shown, status.get("disruptionsAllowed") or 0, ages.of(obj, now)]


def controller_revision(obj: Obj, now: float) -> Cells:
    owner = NONE
    for reference in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if reference.get("controller"):
            group = (reference.get("apiVersion") or "").rpartition("/")[0]
            kind = f"{reference.get('kind')}.{group}" if group else str(reference.get("kind"))
            owner = f"{kind.lower()}/{reference.get('name')}"
            break
    return [name(obj), owner, obj.get("revision") or 0, ages.of(obj, now)]


def autoscaler(obj: Obj, now: float) -> Cells:
    spec, status = _parts(obj)
    target = spec.get("scaleTargetRef") or {}
    least = spec.get("minReplicas")
    return [
        name(obj),
        f"{target.get('kind') or ''}/{target.get('name') or ''}",
        _metrics(obj),
        UNSET if least is None else str(least),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        ages.of(obj, now),
    ]


_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metrics(obj: Obj) -> str:
    spec, status = _parts(obj)
    if "targetCPUUtilizationPercentage" in spec:  # the form of autoscaling/v1
        current = status.get("currentCPUUtilizationPercentage")
        shown = "<unknown>" if current is None else f"{current}%"
        return f"cpu: {shown}/{spec['targetCPUUtilizationPercentage']}%"
    wanted, known = spec.get("metrics") or (), status.get("currentMetrics") or ()
    if not wanted:
        return NONE
    shown_all = [_metric(one, known[index] if index < len(known) else {}) for index, one in enumerate(wanted)]
    text = ", ".join(shown_all[:2])
    return f"{text} + {len(shown_all) - 2} more..." if len(shown_all) > 2 else text


def _metric(wanted: Obj, known: Obj) -> str:
    kind = wanted.get("type") or ""
    field = _SOURCES.get(kind)
    if field is None:
        return "<unknown type>"
    source, seen = wanted.get(field) or {}, known.get(field)
    target, current = source.get("target") or {}, (seen or {}).get("current") or {}
    if kind in {"Resource", "ContainerResource"}:
        resource = source.get("name") or ""
        if target.get("averageValue") is not None:
            shown = "<unknown>" if seen is None else quantity(current.get("averageValue"))
            return f"{resource}: {shown}/{quantity(target['averageValue'])}"
        percent = current.get("averageUtilization")
        goal = target.get("averageUtilization")
        shown = "<unknown>" if percent is None else f"{percent}%"
        return f"{resource}: {shown}/{'<auto>' if goal is None else f'{goal}%'}"
    if kind == "Pods":
        shown = "<unknown>" if seen is None else quantity(current.get("averageValue"))
        return f"{shown}/{quantity(target.get('averageValue'))}"
    if target.get("averageValue") is not None:
        average = current.get("averageValue")
        return f"{'<unknown>' if average is None else quantity(average)}/{quantity(target['averageValue'])} (avg)"
    shown = "<unknown>" if seen is None else quantity(current.get("value"))
    return f"{shown}/{quantity(target.get('value'))}"

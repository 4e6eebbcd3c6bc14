"""What the server writes into workloads and claims beyond the common rules."""

from __future__ import annotations

from typing import Any

from apimachinery.strategies.equality import same

Obj = dict[str, Any]

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
JOB_NAME_LABELS = ("job-name", "batch.kubernetes.io/job-name")
CONTROLLER_UID_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid")


def create_job(job: Obj) -> None:
    """Select the job's pods by its uid, unless the user manages the selector; a conflict is left for validation."""
    spec = job.setdefault("spec", {})
    if spec.get("manualSelector"):
        return
    metadata = job["metadata"]
    labels = spec.setdefault("template", {}).setdefault("metadata", {}).setdefault("labels", {})
    for label in JOB_NAME_LABELS:
        labels.setdefault(label, metadata.get("name", ""))
    for label in CONTROLLER_UID_LABELS:
        labels.setdefault(label, metadata.get("uid", ""))
    if spec.get("selector") is None:
        spec["selector"] = {}
    matched = spec["selector"].setdefault("matchLabels", {})
    matched.setdefault(CONTROLLER_UID_LABELS[1], metadata.get("uid", ""))


def create_daemon_set(daemon_set: Obj) -> None:
    annotations = daemon_set.setdefault("metadata", {}).setdefault("annotations", {})
    if _template_generation(daemon_set) < 1:
        annotations[TEMPLATE_GENERATION] = "1"


def update_daemon_set(daemon_set: Obj, old: Obj) -> None:
    generation = _template_generation(old)
    if not same((daemon_set.get("spec") or {}).get("template"), (old.get("spec") or {}).get("template")):
        generation += 1
    if generation:
        daemon_set["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(generation)


def _template_generation(daemon_set: Obj) -> int:
    text = (daemon_set["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def normalize_data_sources(claim: Obj) -> None:
    """Keep a claim's `dataSource` and `dataSourceRef` equal; what is no claim or snapshot lives in the latter only."""
    spec = claim.setdefault("spec", {})
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None and not _is_data_source(source):
        spec.pop("dataSource")
        return
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def _is_data_source(source: Obj) -> bool:
    return (source.get("apiGroup") or "", source.get("kind")) in {
        ("", "PersistentVolumeClaim"),
        ("snapshot.storage.k8s.io", "VolumeSnapshot"),
    }


def clean_secret_references(account: Obj) -> None:
    """A service account's secrets are names; all else in those references is dropped."""
    for secret in account.get("secrets") or ():
        for field in [field for field in secret if field != "name"]:
            del secret[field]

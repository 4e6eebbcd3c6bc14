"""Bringing stored roles and bindings up to what this version needs, without taking away what somebody added.

A role whose autoupdate annotation is "false" is left as it is. Nothing is written when nothing is missing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import ResourceInfo
from apiserver.authz.rbac import rbac_resource
from apiserver.authz.rules import Rule, missing
from apiserver.bootstrap.role_table import AUTOUPDATE
from apiserver.ports import JSON, Objects

_PLURALS = {
    "Role": "roles",
    "ClusterRole": "clusterroles",
    "RoleBinding": "rolebindings",
    "ClusterRoleBinding": "clusterrolebindings",
}


async def reconcile(objects: Objects, wanted: JSON) -> None:
    info = rbac_resource(_PLURALS[wanted["kind"]])
    metadata = wanted["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    present = objects.get(info, namespace, name)
    if present is None:
        try:
            await objects.create(info, copy.deepcopy(wanted))
            return
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
    elif _role_of_binding_differs(present, wanted):
        await _replace(objects, info, wanted)
        return
    elif merged(present, wanted) is None:
        return
    await objects.update(info, namespace, name, lambda current: merged(current, wanted))


def merged(present: JSON, wanted: JSON) -> JSON | None:
    """The stored object with what it lacks; None if it lacks nothing or must not be touched."""
    metadata = present["metadata"]
    if (metadata.get("annotations") or {}).get(AUTOUPDATE) == "false":
        return None
    result = copy.deepcopy(present)
    for key in ("labels", "annotations"):
        result["metadata"][key] = {**wanted["metadata"].get(key, {}), **(metadata.get(key) or {})}
    if "roleRef" in wanted:
        _add_subjects(result, wanted)
    elif "aggregationRule" in wanted:
        _add_selectors(result, wanted)
    else:
        held = [Rule.of(rule) for rule in present.get("rules") or ()]
        lacking = missing(held, [Rule.of(rule) for rule in wanted["rules"]])
        if lacking:
            result["rules"] = [*(present.get("rules") or ()), *(rule.as_object() for rule in lacking)]
    return None if _same(result, present) else result


def _same(result: JSON, present: JSON) -> bool:
    def plain(obj: JSON) -> JSON:
        metadata = obj["metadata"]
        filled = {key: metadata.get(key) or {} for key in ("labels", "annotations")}
        return {**obj, "metadata": {**metadata, **filled}}

    return plain(result) == plain(present)


def _add_subjects(result: JSON, wanted: JSON) -> None:
    present = list(result.get("subjects") or ())
    known = {_subject_key(subject) for subject in present}
    added = [subject for subject in wanted.get("subjects", ()) if _subject_key(subject) not in known]
    if added:
        result["subjects"] = [*present, *added]


def _add_selectors(result: JSON, wanted: JSON) -> None:
    rule = result.setdefault("aggregationRule", {})
    present = rule.get("clusterRoleSelectors") or []
    lacking = [one for one in wanted["aggregationRule"]["clusterRoleSelectors"] if one not in present]
    if lacking:
        rule["clusterRoleSelectors"] = [*present, *lacking]


def _subject_key(subject: Mapping[str, Any]) -> tuple[str, str, str]:
    return subject["kind"], subject.get("namespace") or "", subject["name"]


def _role_of_binding_differs(present: JSON, wanted: JSON) -> bool:
    if "roleRef" not in wanted or (present["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false":
        return False
    return any(present["roleRef"].get(key) != wanted["roleRef"][key] for key in ("kind", "name"))


async def _replace(objects: Objects, info: ResourceInfo, wanted: JSON) -> None:
    """A binding's role cannot be changed, only another binding made."""
    metadata = wanted["metadata"]
    await objects.delete(info, metadata.get("namespace", ""), metadata["name"])
    await objects.create(info, copy.deepcopy(wanted))

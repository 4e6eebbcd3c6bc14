"""What becomes of the FlowSchemas and priority levels that an apiserver makes, when somebody changes or deletes them.

As upstream documents it under "Maintenance of the mandatory and suggested configuration objects": deleted ones come
back; the spec of a mandatory one is put right again; that of a suggested one too, unless its annotation
`apf.kubernetes.io/autoupdate-spec` says no, or is missing and the spec was changed since it was made. What has the
annotation and is not of this version was left behind by another, and goes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from apimachinery import defaults
from apimachinery.errors import StatusError
from apiserver.bootstrap.flow_control import AUTOUPDATE, flow_schemas, priority_levels
from apiserver.flowcontrol.configuration import MANDATORY, info
from apiserver.ports import Objects

JSON = dict[str, Any]
_WORDS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def wanted_objects() -> Iterator[tuple[str, JSON]]:
    """Plural and object, with its defaults."""
    for plural, objects in (("prioritylevelconfigurations", priority_levels()), ("flowschemas", flow_schemas())):
        for obj in objects:
            defaults.apply(info(plural), obj)
            yield plural, obj


def revised(present: JSON, wanted: JSON) -> JSON | None:
    """The stored object put right; None if it is."""
    metadata = present["metadata"]
    says = _annotation(present)
    updates = metadata["name"] in MANDATORY or (says if says is not None else metadata.get("generation") == 1)
    spec = _kept(present["spec"], wanted["spec"]) if updates else present["spec"]
    if says is updates and spec == present["spec"]:
        return None
    annotations = dict(metadata.get("annotations") or {})
    if says is not updates:
        annotations[AUTOUPDATE] = "true" if updates else "false"
    return {**present, "metadata": {**metadata, "annotations": annotations}, "spec": copy.deepcopy(spec)}


def _kept(present: JSON, wanted: JSON) -> JSON:
    """The exempt level is put right but for its shares, which are the administrator's."""
    if wanted.get("type") != "Exempt" or not present.get("exempt"):
        return wanted
    return {**wanted, "exempt": present["exempt"]}


def is_left_behind(present: JSON, names: set[str]) -> bool:
    return present["metadata"]["name"] not in names and _annotation(present) is True


def _annotation(obj: JSON) -> bool | None:
    return _WORDS.get((obj["metadata"].get("annotations") or {}).get(AUTOUPDATE, ""))


async def put_right(objects: Objects) -> None:
    """All of it once. Raises StatusError; what others write meanwhile is looked at the next time."""
    names: dict[str, set[str]] = {}
    for plural, wanted in wanted_objects():
        name = wanted["metadata"]["name"]
        names.setdefault(plural, set()).add(name)
        present = objects.get(info(plural), "", name)
        try:
            if present is None:
                await objects.create(info(plural), wanted)
            elif revised(present, wanted) is not None:
                await objects.update(info(plural), "", name, lambda now, wanted=wanted: revised(now, wanted))  # type: ignore[misc]
        except StatusError as error:
            if error.reason not in ("AlreadyExists", "NotFound"):
                raise
    for plural, known in names.items():
        for obj in objects.list(info(plural)):
            if is_left_behind(obj, known):
                await objects.delete(info(plural), "", obj["metadata"]["name"])

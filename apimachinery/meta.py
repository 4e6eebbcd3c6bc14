"""Reading and writing what all objects have in common: names, labels, owners, deletion.

Objects are plain dicts; these functions spare their users the `or {}` for what may be missing.
"""

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]


def metadata(obj: Object) -> Mapping[str, Any]:
    return obj.get("metadata") or {}


def name(obj: Object) -> str:
    return str(metadata(obj).get("name", ""))


def namespace(obj: Object) -> str:
    return str(metadata(obj).get("namespace", ""))


def uid(obj: Object) -> str:
    return str(metadata(obj).get("uid", ""))


def resource_version(obj: Object) -> str:
    return str(metadata(obj).get("resourceVersion", ""))


def generation(obj: Object) -> int:
    return int(metadata(obj).get("generation", 0))


def key(obj: Object) -> str:
    """`namespace/name`, or the name alone of a cluster-scoped object."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def split_key(text: str) -> tuple[str, str]:
    """Namespace, which may be empty, and name."""
    space, _, rest = text.rpartition("/")
    return space, rest


def labels(obj: Object) -> Mapping[str, str]:
    return metadata(obj).get("labels") or {}


def annotations(obj: Object) -> Mapping[str, str]:
    return metadata(obj).get("annotations") or {}


def finalizers(obj: Object) -> list[str]:
    return list(metadata(obj).get("finalizers") or ())


def owners(obj: Object) -> list[dict[str, Any]]:
    return list(metadata(obj).get("ownerReferences") or ())


def controller(obj: Object) -> dict[str, Any] | None:
    """The reference to the one owner that controls the object."""
    return next((one for one in owners(obj) if one.get("controller")), None)


def is_controlled_by(obj: Object, owner: Object) -> bool:
    reference = controller(obj)
    return reference is not None and reference.get("uid") == uid(owner)


def controller_reference(owner: Object) -> dict[str, Any]:
    """What an object created by `owner` carries: the owner is not removed before it in foreground deletion."""
    return {
        "apiVersion": owner.get("apiVersion", ""),
        "kind": owner.get("kind", ""),
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_deleting(obj: Object) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def set_annotation(obj: dict[str, Any], key: str, value: str | None) -> None:
    """None removes it."""
    held = obj.setdefault("metadata", {}).setdefault("annotations", {})
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value


def condition(obj: Object, kind: str) -> dict[str, Any] | None:
    """The condition of a type in the object's status."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), None)

"""The scale subresource of a custom kind: where its numbers lie."""

from __future__ import annotations

from typing import Any

from apimachinery.fields import FieldError, Path, invalid

Obj = dict[str, Any]
Errors = list[FieldError]
_MOST = (1 << 31) - 1
_GO_TYPES = {str: "string", bool: "bool", float: "float64", int: "int64", dict: "map[string]interface {}"}


class WrongType(ValueError):
    """Something else lies where a number or a text should; the sentence is upstream's."""


class ScalePaths:
    """The paths that a definition gives, each starting with a dot."""

    def __init__(self, scale: Obj) -> None:
        self.spec: str = scale["specReplicasPath"]
        self.status: str = scale["statusReplicasPath"]
        self.selector: str = scale.get("labelSelectorPath") or ""

    def replicas(self, obj: Obj) -> int | None:
        """As the spec says, None if it does not. Raises WrongType."""
        found: int | None = at(obj, self.spec, int)
        return found

    def status_replicas(self, obj: Obj) -> int:
        return at(obj, self.status, int) or 0

    def selector_text(self, obj: Obj) -> str:
        return (at(obj, self.selector, str) or "") if self.selector else ""

    def set_replicas(self, obj: Obj, count: int) -> None:
        *way, last = _names(self.spec)
        for name in way:
            inner = obj.get(name)
            inner = obj[name] = dict(inner) if isinstance(inner, dict) else {}
            obj = inner
        obj[last] = count

    def check_spec(self, obj: Obj) -> Errors:
        return _count(obj, self.spec)

    def check_status(self, obj: Obj) -> Errors:
        found = _count(obj, self.status)
        if self.selector:
            try:
                at(obj, self.selector, str)
            except WrongType as error:
                found.append(invalid(Path(self.selector), "", str(error)))
        return found


def _names(path: str) -> list[str]:
    return path.removeprefix(".").split(".")


def at(obj: Obj, path: str, kind: type) -> Any:
    """What lies at a path of names, None if nothing does. Raises WrongType."""
    value: Any = obj
    way: list[str] = []
    for name in _names(path):
        if not isinstance(value, dict):
            shown = f"{''.join(f'.{one}' for one in way)} accessor error: {value} is of the type "
            raise WrongType(f"{shown}{_type_name(value)}, expected map[string]interface{{}}")
        way.append(name)
        if name not in value:
            return None
        value = value[name]
    if type(value) is not kind:
        shown = f"{''.join(f'.{one}' for one in way)} accessor error: {value} is of the type "
        raise WrongType(f"{shown}{_type_name(value)}, expected {'int64' if kind is int else 'string'}")
    return value


def _type_name(value: Any) -> str:
    return "<nil>" if value is None else _GO_TYPES.get(type(value), "[]interface {}")


def _count(obj: Obj, path: str) -> Errors:
    place = Path(path)
    try:
        count = at(obj, path, int) or 0
    except WrongType as error:
        return [invalid(place, 0, str(error))]
    if count < 0:
        return [invalid(place, count, "should be a non-negative integer")]
    if count > _MOST:
        return [invalid(place, count, f"should be less than or equal to {_MOST}")]
    return []

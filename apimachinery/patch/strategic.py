"""Strategic merge patch: a merge patch that knows which lists are merged by key, and obeys directives.

Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
`$setElementOrder/<field>`.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.errors import StatusError, bad_request
from apimachinery.patch.json_patch import PatchError
from apimachinery.schema.build import type_of
from apimachinery.schema.decode import Kinded
from apimachinery.schema.json_body import SyntaxProblem, duplicates, parse
from apimachinery.schema.nodes import Field, ListNode, MapNode, Node, ObjectNode, json_word

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList"
_ORDER = "$setElementOrder"
_BAD_ORDER = "invalid patch format of setElementOrder list"
_BAD_RETAIN = "invalid patch format of retainKeys"
_BAD_PRIMITIVES = "invalid patch format of primitive list"
_UNTYPED = Field("", Node())


def decode(data: bytes) -> tuple[dict[str, Any], list[str]]:
    """The patch in a body and its duplicate fields; StatusError 400 if it is no object."""
    try:
        patch = parse(data)
        repeated = duplicates(data, patch)
    except SyntaxProblem as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if not isinstance(patch, dict):
        raise bad_request("invalid JSON document")
    return patch, repeated


def apply(doc: dict[str, Any], patch: dict[str, Any], info: Kinded) -> dict[str, Any]:
    """The patched document; StatusError if the patch is malformed or cannot be merged."""
    node = type_of(info.group, info.version, info.kind)
    if node is None:
        raise unsupported()
    try:
        return _merge_map(_copy(doc), _copy(patch), node)
    except PatchError as error:
        raise error.status() from None


def unsupported() -> StatusError:
    """Custom resources have no merge keys; clients fall back to a merge patch."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    return StatusError(415, "UnsupportedMediaType", message)


def _copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _failed(message: str) -> StatusError:
    """A patch that contradicts itself."""
    return bad_request(message)


def _field(node: Node, key: str) -> Field:
    if isinstance(node, ObjectNode):
        return node.fields.get(key, _UNTYPED)
    if isinstance(node, MapNode):
        return Field(key, node.element)
    return _UNTYPED


def _strategy(field: Field) -> str:
    return next(iter(field.strategies - {"retainKeys"}), "")


def _merge_map(original: dict[str, Any], patch: dict[str, Any], node: Node) -> dict[str, Any]:
    if _DIRECTIVE in patch:
        return _whole(patch)
    _retain_keys(original, patch)
    _merge_ordered_lists(original, patch, node)
    for key, value in patch.items():
        deletes = key.startswith(_DELETE_PRIMITIVES)
        if deletes:
            key = _directive_target(key, _DELETE_PRIMITIVES, _BAD_PRIMITIVES)
        if value is None:
            original.pop(key, None)
            continue
        found = original.get(key)
        if isinstance(found, dict) and isinstance(value, dict):
            field = _field(node, key)
            original[key] = value if _strategy(field) == "replace" else _merge_map(found, value, field.node)
        elif isinstance(found, list) and isinstance(value, list):
            original[key] = _merge_list(found, value, _field(node, key), deletes)
        elif not deletes:
            _put(original, key, value)
    return original


def _whole(patch: dict[str, Any]) -> dict[str, Any]:
    """A map that says itself what is to be done with it."""
    directive = patch[_DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    raise _failed(f"unknown patch type: {directive} in map: {go_value(patch)}")


def _put(original: dict[str, Any], key: str, value: Any) -> None:
    """A value that meets nothing to merge with: its nulls say nothing, its directives vanish."""
    _discard_nulls(value)
    kept, keep = _without_directives(value)
    if keep:
        original[key] = kept
    else:
        original.pop(key, None)


def _discard_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
        for item in value.values():
            _discard_nulls(item)
    elif isinstance(value, list):
        for item in value:
            _discard_nulls(item)


def _without_directives(value: Any) -> tuple[Any, bool]:
    """The value without the maps that carry `$patch`, and whether it is itself to be kept."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return None, False
        kept = {key: _without_directives(item) for key, item in value.items()}
        return {key: item for key, (item, keep) in kept.items() if keep}, True
    if isinstance(value, list):
        return [item for item, keep in map(_without_directives, value) if keep], True
    return value, True


def _directive_target(key: str, prefix: str, complaint: str) -> str:
    head, slash, target = key.partition("/")
    if not slash or head != prefix:
        raise bad_request(complaint)
    return target


def _retain_keys(original: dict[str, Any], patch: dict[str, Any]) -> None:
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    if not isinstance(retained, list):
        raise bad_request(_BAD_RETAIN)
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE_PRIMITIVES, _ORDER)) and key not in retained:
            raise bad_request(_BAD_RETAIN)
    for key in [key for key in original if key not in retained]:
        del original[key]


def _merge_ordered_lists(original: dict[str, Any], patch: dict[str, Any], node: Node) -> None:
    """Lists that come with `$setElementOrder` are merged here and taken out of the patch."""
    for directive in [key for key in patch if key.startswith(_ORDER)]:
        order = patch.pop(directive)
        if not isinstance(order, list):
            raise _failed(f"expected a slice, but received a {json_word(order)}")
        key = _directive_target(directive, _ORDER, _BAD_ORDER)
        old, new = original.get(key), patch.get(key)
        for value in (old, new):
            if value is not None and not isinstance(value, list):
                raise _failed(f"expected a slice, but received a {json_word(value)}")
        field = _field(node, key)
        if new is not None:
            _check_order(new, order, field.merge_key)
        if old is None and new is None:
            continue
        if old is None:
            merged = _without_directives(new)[0]
        elif new is None:
            merged = old
        else:
            merged = _merge_list(list(old), new, field, False)
        original[key] = _in_order(merged, order, old or [], field.merge_key)
        patch.pop(key, None)


def _check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """Every element of the patch must occur in the order list, in the same sequence."""
    if not patch or not order:
        return
    position = 0
    for item in patch:
        if isinstance(item, dict) and _DIRECTIVE in item:
            continue
        while position < len(order) and not _same(item, order[position], merge_key):
            position += 1
        if position == len(order):
            raise _failed(
                f"The order in patch list:\n{go_value(patch)}\n doesn't match {_ORDER} list:\n{go_value(order)}\n"
            )
        position += 1


def _same(left: Any, right: Any, merge_key: str) -> bool:
    if not merge_key:
        return bool(left == right)
    return bool(_key_of(left, merge_key) == _key_of(right, merge_key))


def _key_of(item: Any, merge_key: str) -> Any:
    if not isinstance(item, dict):
        raise _failed(f"expected a map, but received a {json_word(item)}")
    if merge_key not in item:
        raise _failed(f"map: {go_value(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _merge_list(original: list[Any], patch: list[Any], field: Field, deletes: bool) -> list[Any]:
    if not deletes and _strategy(field) != "merge":
        return patch
    if not original and not patch:
        return original
    _check_elements([*original, *patch])
    element = field.node.element if isinstance(field.node, ListNode) else _UNTYPED.node
    first = (original or patch)[0]
    if not isinstance(first, dict):
        if deletes:
            return [item for item in original if item not in patch]
        merged = list(dict.fromkeys([*original, *patch]))
        return _in_order(merged, patch, original, "")
    if not field.merge_key:
        raise _failed(f"cannot merge lists without merge key for {field.name}")
    original, patch = _obey_elements(original, patch, field.merge_key)
    merged = list(original)
    places: dict[Any, int] = {}
    for index, one in enumerate(merged):
        places.setdefault(_hashable(one.get(field.merge_key)), index)
    for item in patch:
        place = places.setdefault(_hashable(_key_of(item, field.merge_key)), len(merged))
        if place == len(merged):
            merged.append(item)
        else:
            merged[place] = _merge_map(merged[place], item, element)
    return _in_order(merged, patch, original, field.merge_key)


def _check_elements(items: list[Any]) -> None:
    words = {json_word(item) for item in items}
    if "array" in words:
        raise PatchError("lists of lists are not supported")
    if len(words) > 1:
        raise _failed(f"list element types are not identical: {go_value(items)}")


def _obey_elements(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Elements of the patch that carry `$patch` act on the whole list; what is left is to be merged."""
    plain, replaces = [], False
    deleted: set[Any] = set()
    for item in patch:
        directive = item.get(_DIRECTIVE)
        if _DIRECTIVE not in item:
            plain.append(item)
        elif directive == "delete":
            deleted.add(_hashable(_key_of(item, merge_key)))
        elif directive == "replace":
            replaces = True
        elif directive == "merge":
            raise _failed("merging lists cannot yet be specified in the patch")
        else:
            raise _failed(f"unknown patch type: {directive} in map: {go_value(item)}")
    if deleted:
        original = [one for one in original if merge_key not in one or _hashable(one[merge_key]) not in deleted]
    return (plain, []) if replaces else (original, plain)


def _in_order(merged: list[Any], order: list[Any], server_order: list[Any], merge_key: str) -> list[Any]:
    """The patch's elements in the patch's order, the server's own among them where the server had them."""

    def identity(item: Any) -> Any:
        return _key_of(item, merge_key) if merge_key else item

    wanted = _positions(map(identity, order))
    had = _positions(map(identity, server_order))
    patched = [item for item in merged if _hashable(identity(item)) in wanted]
    others = [item for item in merged if _hashable(identity(item)) not in wanted]
    patched.sort(key=lambda item: wanted[_hashable(identity(item))])
    others.sort(key=lambda item: had.get(_hashable(identity(item)), len(had)))
    result: list[Any] = []
    left = right = 0
    while left < len(others) and right < len(patched):
        mine, theirs = had.get(_hashable(identity(others[left]))), had.get(_hashable(identity(patched[right])))
        if mine is not None and theirs is not None and mine < theirs:
            result.append(others[left])
            left += 1
        else:
            result.append(patched[right])
            right += 1
    return [*result, *patched[right:], *others[left:]]


def _positions(items: Any) -> dict[Any, int]:
    positions: dict[Any, int] = {}
    for index, item in enumerate(items):
        positions.setdefault(_hashable(item), index)
    return positions


def _hashable(value: Any) -> Any:
    return orjson.dumps(value) if isinstance(value, dict | list) else (type(value) is bool, value)


def go_value(value: Any) -> str:
    """As Go's %v prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_value(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_value, value))}]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

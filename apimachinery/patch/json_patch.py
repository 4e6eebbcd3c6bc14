"""JSON patch (RFC 6902), with the leniencies of the server's library.

Those are: `replace` may create a member of an object, indices may count from the end.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from apimachinery.errors import StatusError, bad_request
from apimachinery.fields import quote
from apimachinery.schema.json_body import SyntaxProblem, duplicates, parse
from apimachinery.schema.nodes import json_word

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
_INDEX = re.compile(r"[+-]?[0-9]+")
_ABSENT = object()


class PatchError(ValueError):
    """An operation that cannot be done on this document; the request is answered with 422."""

    def status(self) -> StatusError:
        """The general sentence: the server does not tell which operation failed, our log does."""
        message = "the server rejected our request due to an error in our request"
        return StatusError(422, "Invalid", message, {})


class TestFailed(PatchError):
    """A `test` found something else."""

    __test__ = False


def decode(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """The operations in a body and its duplicate fields; StatusError if it is no list of operations."""
    try:
        operations = parse(data)
        repeated = duplicates(data, operations)
    except SyntaxProblem as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        word = json_word(operations if not isinstance(operations, list) else operations[0])
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {word} into Go value of type []handlers.jsonPatchOp"
        )
    if len(operations) > MAX_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")
    return operations, [f"json patch {one}" for one in repeated]


def apply(doc: Any, operations: list[dict[str, Any]]) -> Any:
    """The document after all operations; PatchError at the first that does not apply."""
    return _Patcher(doc).run(operations)


def _copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _unescape(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")


class _Patcher:
    def __init__(self, doc: Any) -> None:
        self._root = _copy(doc)
        self._copied = 0

    def run(self, operations: list[dict[str, Any]]) -> Any:
        actions = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "copy": self._duplicate,
            "test": self._test,
        }
        for operation in operations:
            name = operation.get("op")
            action = actions.get(name) if isinstance(name, str) else None
            if action is None:
                raise PatchError(f"Unexpected kind: {name if isinstance(name, str) else 'unknown'}")
            action(operation)
        return self._root

    def _add(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path")
        container, key = self._find(path, f'add operation does not apply: doc is missing path: "{path}"')
        _insert(container, key, _value(operation), path)

    def _remove(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path")
        container, key = self._find(path, f'remove operation does not apply: doc is missing path: "{path}"')
        _delete(container, key, path)

    def _replace(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path")
        value = _value(operation)
        if path == "":
            if not isinstance(value, dict | list):
                raise PatchError("replace operation value must be object or array")
            self._root = value
            return
        container, key = self._find(path, f"replace operation does not apply: doc is missing path: {path}")
        if isinstance(container, list):
            container[_index(container, key, path)] = value
        else:
            container[key] = value

    def _move(self, operation: dict[str, Any]) -> None:
        source, path = _pointer(operation, "from"), _pointer(operation, "path")
        container, key = self._find(source, f"move operation does not apply: doc is missing from path: {source}")
        value = _delete(container, key, source)
        container, key = self._find(path, f"move operation does not apply: doc is missing destination path: {path}")
        _insert(container, key, value, path)

    def _duplicate(self, operation: dict[str, Any]) -> None:
        source, path = _pointer(operation, "from"), _pointer(operation, "path")
        container, key = self._find(source, f"copy operation does not apply: doc is missing from path: {source}")
        value = _get(container, key, source)
        written = orjson.dumps(None if value is _ABSENT else value)
        self._copied += len(written)
        if self._copied > MAX_COPIED_BYTES:
            raise PatchError(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied}, "
                f"exceeding the limit {MAX_COPIED_BYTES}"
            )
        container, key = self._find(path, f"copy operation does not apply: doc is missing destination path: {path}")
        _insert(container, key, orjson.loads(written), path)

    def _test(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path")
        wanted = operation.get("value")
        if path == "":
            found = self._root
        else:
            container, key = self._find(path, f"test operation does not apply: is missing path: {path}")
            found = _get(container, key, path)
        if (None if found is _ABSENT else found) != wanted or isinstance(found, bool) != isinstance(wanted, bool):
            raise TestFailed(f"testing value {path} failed")

    def _find(self, pointer: str, complaint: str) -> tuple[Any, str]:
        """The container which holds the place a pointer names, and the last step to it."""
        tokens = pointer.split("/")
        if len(tokens) < 2:
            raise PatchError(complaint)
        place = self._root
        for token in tokens[1:-1]:
            try:
                place = _get(place, _unescape(token), pointer)
            except PatchError:
                raise PatchError(complaint) from None
            if place is None or place is _ABSENT:
                raise PatchError(complaint)
        if not isinstance(place, dict | list):
            raise PatchError(complaint)
        return place, _unescape(tokens[-1])


def _pointer(operation: dict[str, Any], name: str) -> str:
    pointer = operation.get(name)
    if not isinstance(pointer, str):
        raise PatchError(f"operation missing {name} field: missing value")
    return pointer


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchError("operation, missing value field: missing value")
    return _copy(operation["value"])


def _index(container: list[Any], key: str, path: str, limit: int | None = None) -> int:
    limit = len(container) if limit is None else limit
    if not _INDEX.fullmatch(key):
        raise PatchError(f"error for path {quote(path)}: value was not a proper array index: '{key}'")
    index = int(key)
    if not -limit <= index < limit:
        raise PatchError(f"error for path {quote(path)}: Unable to access invalid index: {index}")
    return index + limit if index < 0 else index


def _get(container: Any, key: str, path: str) -> Any:
    if isinstance(container, list):
        return container[_index(container, key, path)]
    if isinstance(container, dict):
        return container.get(key, _ABSENT)
    raise PatchError(f"error for path {quote(path)}: missing value")


def _insert(container: Any, key: str, value: Any, path: str) -> None:
    value = None if value is _ABSENT else value
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        container.insert(_index(container, key, path, len(container) + 1), value)


def _delete(container: Any, key: str, path: str) -> Any:
    if isinstance(container, list):
        return container.pop(_index(container, key, path))
    if key not in container:
        raise PatchError(f"error in remove for path: '{path}': Unable to remove nonexistent key: {key}")
    return container.pop(key)

"""OpenAPI 2 documents in the protobuf form that kubectl and client-go ask for (gnostic's openapi.v2.Document).

Only what clients read is written: definitions whole, paths with parameters, bodies and extensions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

JSON = dict[str, Any]
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def document(spec: JSON) -> bytes:
    title = _text(1, spec["info"]["title"]) + _text(2, spec["info"]["version"])
    paths = b"".join(_block(2, _text(1, path) + _block(2, _path_item(item))) for path, item in spec["paths"].items())
    definitions = b"".join(_block(1, _named_schema(name, schema)) for name, schema in spec["definitions"].items())
    return _text(1, spec["swagger"]) + _block(2, title) + _block(8, paths) + _block(9, definitions)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _block(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, value: str) -> bytes:
    return _block(number, value.encode()) if value else b""


def _flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_text(number, value) for value in values)


def _any(value: Any) -> bytes:
    """Free values travel as YAML, of which JSON is a part."""
    return _text(2, orjson.dumps(value).decode() + "\n")


def _extensions(number: int, holder: JSON) -> bytes:
    return b"".join(
        _block(number, _text(1, name) + _block(2, _any(value))) for name, value in holder.items() if name[:2] == "x-"
    )


def _named_schema(name: str, schema: JSON) -> bytes:
    return _text(1, name) + _block(2, _schema(schema))


def _schema(schema: JSON) -> bytes:
    parts = [
        _text(1, schema.get("$ref", "")),
        _text(2, schema.get("format", "")),
        _text(4, schema.get("description", "")),
        _block(5, _any(schema["default"])) if "default" in schema else b"",
        _flag(16, schema.get("uniqueItems")),
        _texts(19, schema.get("required", ())),
        b"".join(_block(20, _any(value)) for value in schema.get("enum", ())),
    ]
    if isinstance(more := schema.get("additionalProperties"), dict):
        parts.append(_block(21, _block(1, _schema(more))))
    if "type" in schema:
        parts.append(_block(22, _text(1, schema["type"])))
    if "items" in schema:
        parts.append(_block(23, _block(1, _schema(schema["items"]))))
    if "properties" in schema:
        named = b"".join(_block(1, _named_schema(name, one)) for name, one in schema["properties"].items())
        parts.append(_block(25, named))
    parts.append(_extensions(31, schema))
    return b"".join(parts)


def _path_item(item: JSON) -> bytes:
    parts = [_block(_METHODS[method], _operation(item[method])) for method in _METHODS if method in item]
    parts += [_block(9, _parameter(one)) for one in item.get("parameters", ())]
    return b"".join(parts)


def _operation(operation: JSON) -> bytes:
    responses = b"".join(_block(1, _response(code, one)) for code, one in operation["responses"].items())
    return (
        _texts(1, operation["tags"])
        + _text(3, operation["description"])
        + _text(5, operation["operationId"])
        + _texts(6, operation["produces"])
        + _texts(7, operation["consumes"])
        + b"".join(_block(8, _parameter(one)) for one in operation["parameters"])
        + _block(9, responses)
        + _texts(10, operation["schemes"])
        + _extensions(13, operation)
    )


def _response(code: str, response: JSON) -> bytes:
    content = _text(1, response["description"])
    if "schema" in response:
        content += _block(2, _block(1, _schema(response["schema"])))
    return _text(1, code) + _block(2, _block(1, content))


def _parameter(one: JSON) -> bytes:
    if one["in"] == "body":
        body = _text(2, one["name"]) + _text(3, "body") + _flag(4, True) + _block(5, _schema(one["schema"]))
        return _block(1, _block(1, body))
    content = _flag(1, one.get("required")) + _text(2, one["in"]) + _text(3, one["description"]) + _text(4, one["name"])
    if one["in"] == "query":
        inner = _block(3, content + _text(6, one["type"]) + _flag(20, one.get("uniqueItems")))
    else:
        inner = _block(4, content + _text(5, one["type"]) + _flag(18, one.get("uniqueItems")))
    return _block(1, _block(2, inner))

"""Rules of ConfigMaps and Secrets."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, forbidden, invalid, required, too_long
from apimachinery.strategies.equality import same
from apimachinery.validation.metadata import immutable

Obj = dict[str, Any]
Errors = list[FieldError]

LIMIT = 1024 * 1024
REDACTED = "<secret contents redacted>"
SERVICE_ACCOUNT = "kubernetes.io/service-account.name"
FROZEN = "field is immutable when `immutable` is set"


def config_map(obj: Obj) -> Errors:
    found: Errors = []
    size = 0
    binary = obj.get("binaryData") or {}
    for key, text in (obj.get("data") or {}).items():
        place = Path("data").key(key)
        found += [invalid(place, key, wrong) for wrong in names.config_map_key(key)]
        if key in binary:
            found.append(invalid(place, key, "duplicate of key present in binaryData"))
        size += len(text) if text.isascii() else len(text.encode())
    for key, text in binary.items():
        found += [invalid(Path("binaryData").key(key), key, wrong) for wrong in names.config_map_key(key)]
        size += _decoded_size(text)
    if size > LIMIT:
        found.append(too_long(Path("[]"), "", LIMIT))
    return found


def _decoded_size(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def _frozen(new: Obj, old: Obj, *fields: str) -> Errors:
    if not old.get("immutable"):
        return []
    found = [] if new.get("immutable") else [forbidden(Path("immutable"), FROZEN)]
    return found + [forbidden(Path(field), FROZEN) for field in fields if not same(new.get(field), old.get(field))]


def config_map_update(new: Obj, old: Obj) -> Errors:
    return _frozen(new, old, "data", "binaryData")


def secret(obj: Obj) -> Errors:
    data = obj.get("data") or {}
    place = Path("data")
    found: Errors = []
    for key in data:
        found += [invalid(place.key(key), key, wrong) for wrong in names.config_map_key(key)]
    if sum(_decoded_size(text) for text in data.values()) > LIMIT:
        found.append(too_long(place, "", LIMIT))
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    match obj.get("type"):
        case "kubernetes.io/service-account-token":
            if not annotations.get(SERVICE_ACCOUNT):
                found.append(required(Path("metadata", "annotations").key(SERVICE_ACCOUNT)))
        case "kubernetes.io/dockercfg":
            found += _json_object(data, ".dockercfg")
        case "kubernetes.io/dockerconfigjson":
            found += _json_object(data, ".dockerconfigjson")
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                found += [required(place.key("username")), required(place.key("password"))]
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                found.append(required(place.key("ssh-privatekey")))
        case "kubernetes.io/tls":
            found += [required(place.key(key)) for key in ("tls.crt", "tls.key") if key not in data]
    return found


def _json_object(data: Obj, key: str) -> Errors:
    place = Path("data").key(key)
    if key not in data:
        return [required(place)]
    try:
        content = json.loads(base64.b64decode(data[key]) or b"")
    except (ValueError, binascii.Error) as wrong:
        return [invalid(place, REDACTED, _go_json_error(data[key], wrong))]
    if content is not None and not isinstance(content, dict):
        kind = {bool: "bool", str: "string", list: "array"}.get(type(content), "number")
        detail = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        return [invalid(place, REDACTED, detail)]
    return []


def _go_json_error(encoded: str, wrong: Exception) -> str:
    if not encoded:
        return "unexpected end of JSON input"
    position = getattr(wrong, "pos", None)
    document = getattr(wrong, "doc", "")
    if position is not None and position < len(document):
        return f"invalid character '{document[position]}' looking for beginning of value"
    return "unexpected end of JSON input"


def secret_update(new: Obj, old: Obj) -> Errors:
    return immutable(new.get("type"), old.get("type"), Path("type")) + _frozen(new, old, "data")

"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from apimachinery.errors import bad_request
from apimachinery.schema.json_body import SyntaxProblem, duplicates, parse

BAD_PATCH = "Invalid JSON Patch"


def decode(data: bytes) -> tuple[dict[str, Any], list[str]]:
    """The patch in a body and its duplicate fields; StatusError 400 if it is no object."""
    try:
        patch = parse(data)
        repeated = duplicates(data, patch)
    except SyntaxProblem as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if not isinstance(patch, dict):
        raise bad_request(BAD_PATCH)
    return patch, repeated


def apply(doc: Any, patch: Any) -> Any:
    """The patched document; what did not change is shared with `doc`."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = apply(merged.get(key), value)
        else:
            merged[key] = value
    return merged

"""What `apply` sends: the difference between the file and the server, and what the file no longer has.

Three objects meet: `original` (what was applied last), `modified` (the file), `current` (the server's). Fields the
server added stay, for the patch deletes only what `original` had. Lists merge by key where the type says so; types that
are not built in get a JSON merge patch, whose lists are replaced whole.
"""

from __future__ import annotations

import json
from typing import Any

from apimachinery.schema.nodes import Field, ListNode, MapNode, Node, ObjectNode

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
JSON = dict[str, Any]
#: What kubectl's JSON writer escapes: with other text in the annotation, one tool would undo the other's.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
_ANY = Field("", Node())


def without_annotation(obj: JSON) -> JSON:
    """The object as `apply` remembers it."""
    metadata = dict(obj.get("metadata") or {})
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def remembered(obj: JSON) -> JSON:
    """The object with itself as an annotation; the server's own fields have no place in a file."""
    plain = without_annotation(obj)
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False).translate(_ESCAPES) + "\n"
    return {
        **plain,
        "metadata": {**plain["metadata"], "annotations": {**plain["metadata"]["annotations"], LAST_APPLIED: text}},
    }


def last_applied(current: JSON) -> JSON | None:
    text = ((current.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    value = json.loads(text)
    return value if isinstance(value, dict) else None


def merge_patch(original: JSON, modified: JSON, current: JSON) -> JSON:
    """RFC 7386, for types without known lists."""
    patch: JSON = {}
    for key, value in modified.items():
        have = current.get(key)
        if isinstance(value, dict) and isinstance(have, dict):
            before = original.get(key)
            if below := merge_patch(before if isinstance(before, dict) else {}, value, have):
                patch[key] = below
        elif value is not None and (key not in current or have != value):
            patch[key] = value
    for key in original:
        if key not in modified and key in current:
            patch[key] = None
    return patch


def strategic_patch(original: JSON, modified: JSON, current: JSON, node: Node) -> JSON:
    """Empty where there is nothing to change."""
    patch: JSON = {}
    for key, value in modified.items():
        if value is None:
            continue
        field = _field(node, key)
        have, before = current.get(key), original.get(key)
        if isinstance(value, dict) and isinstance(have, dict):
            if below := _below(before if isinstance(before, dict) else {}, value, have, field):
                patch[key] = below
        elif isinstance(value, list) and isinstance(have, list) and _merges(field):
            patch |= _list(key, before if isinstance(before, list) else [], value, have, field)
        elif have != value and not (have is None and not value and field.drops_zero):
            patch[key] = value
    for key in original:
        if key not in modified and key in current:
            patch[key] = None
    return patch


def _below(before: JSON, value: JSON, have: JSON, field: Field) -> JSON:
    patch = strategic_patch(before, value, have, field.node)
    if patch and "retainKeys" in field.strategies:
        patch["$retainKeys"] = sorted(value)
    return patch


def _list(key: str, before: list[Any], value: list[Any], have: list[Any], field: Field) -> JSON:
    """Entries for one list: the changed elements, the deletions and the order."""
    merge_key = field.merge_key
    if not merge_key:
        added = [one for one in value if one not in have]
        gone = [one for one in before if one not in value and one in have]
        patch: JSON = {key: added} if added else {}
        if gone:
            patch[f"$deleteFromPrimitiveList/{key}"] = gone
        if patch:
            patch[f"$setElementOrder/{key}"] = value
        return patch
    if not all(isinstance(one, dict) and merge_key in one for one in (*value, *before, *have)):
        return {key: value} if value != have else {}
    known = {one[merge_key]: one for one in have}
    earlier = {one[merge_key]: one for one in before}
    element = field.node.element if isinstance(field.node, ListNode) else Node()
    changes: list[JSON] = []
    for one in value:
        name = one[merge_key]
        if name not in known:
            changes.append(one)
            continue
        change = strategic_patch(earlier.get(name, {}), one, known[name], element)
        if change:
            if "retainKeys" in field.strategies:
                change["$retainKeys"] = sorted(one)
            changes.append({merge_key: name, **change})
    names = {one[merge_key] for one in value}
    changes += [{"$patch": "delete", merge_key: name} for name in earlier if name not in names and name in known]
    order = [one[merge_key] for one in have if one[merge_key] in names]
    if not changes and order == [one[merge_key] for one in value]:
        return {}
    return {f"$setElementOrder/{key}": [{merge_key: one[merge_key]} for one in value], key: changes}


def _field(node: Node, key: str) -> Field:
    if isinstance(node, ObjectNode):
        return node.fields.get(key, _ANY)
    if isinstance(node, MapNode):
        return Field("", node.element)
    return _ANY


def _merges(field: Field) -> bool:
    return "merge" in field.strategies

"""From JSON Schema definitions to nodes: the type table of the built-in API, built once per process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apimachinery.gvk import GroupVersionKind
from apimachinery.schema import definitions, facts
from apimachinery.schema.nodes import (
    AnyNode,
    BooleanNode,
    BytesNode,
    Field,
    IntegerNode,
    IntOrStringNode,
    ListNode,
    MapNode,
    Node,
    NumberNode,
    ObjectNode,
    QuantityNode,
    StringNode,
    TimeNode,
    UnionNode,
)

#: Versions that are off by default; nothing served refers to them.
_UNSERVED = re.compile(r"\.v[0-9]+(?:alpha|beta)[0-9]+\.")
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
OBJECT_META = f"{_META}ObjectMeta"
_STRING, _BOOLEAN, _NUMBER, _ANY, _BYTES = StringNode(), BooleanNode(), NumberNode(), AnyNode(), BytesNode()
_INTEGERS = {name: IntegerNode(name) for name in ("int32", "int64")}
_SPECIAL: dict[str, Node] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": QuantityNode(),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": IntOrStringNode(),
    f"{_META}Time": TimeNode(micro=False),
    f"{_META}MicroTime": TimeNode(micro=True),
    f"{_META}FieldsV1": _ANY,
    f"{_META}Patch": _ANY,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _ANY,
    f"{_EXTENSIONS}JSON": _ANY,
}


#: Types that are structs to the server, which never leaves them out.
_STRUCTS = (ObjectNode, AnyNode, IntOrStringNode, UnionNode, TimeNode, QuantityNode)


@dataclass(frozen=True, slots=True)
class Types:
    """All types by definition name and by group, version and kind."""

    by_name: Mapping[str, Node]
    by_kind: Mapping[GroupVersionKind, ObjectNode]


def _json_type(schema: Mapping[str, Any]) -> str:
    declared = schema.get("type", "")
    return str(declared if isinstance(declared, str) else next(one for one in declared if one != "null"))


class _Builder:
    """Turns schemas into nodes; objects are created empty first, so that they may refer to one another."""

    def __init__(self, raw: Mapping[str, Mapping[str, Any]]) -> None:
        self._raw = raw
        self.nodes: dict[str, Node] = dict(_SPECIAL)
        for name in raw:
            self.nodes.setdefault(name, ObjectNode(name))
        self._add_unions()

    def _add_unions(self) -> None:
        schema = self.nodes.get(f"{_EXTENSIONS}JSONSchemaProps")
        if schema is None:
            return
        unions = {"Array": ListNode(schema), "Bool": _BOOLEAN, "StringArray": ListNode(_STRING)}
        for suffix, option in unions.items():
            name = f"{_EXTENSIONS}JSONSchemaPropsOr{suffix}"
            self.nodes[name] = UnionNode(f"v1.JSONSchemaPropsOr{suffix}", schema, option)

    def build(self) -> Types:
        kinds: dict[GroupVersionKind, ObjectNode] = {}
        for name, schema in self._raw.items():
            node = self.nodes[name]
            if not isinstance(node, ObjectNode):
                continue
            required = frozenset(schema.get("required", ()))
            properties = schema.get("properties", {})
            zeros = facts.dropped_zeros(name)
            node.fields = {
                key: self._field(key, value, key in required, key in zeros) for key, value in properties.items()
            }
            node.atomic = schema.get("x-kubernetes-map-type") == "atomic"
            for one in schema.get("x-kubernetes-group-version-kind", ()):
                kinds[GroupVersionKind(one["group"], one["version"], one["kind"])] = node
        return Types(self.nodes, kinds)

    def _field(self, name: str, schema: Mapping[str, Any], required: bool, drops_zero: bool) -> Field:
        strategy = schema.get("x-kubernetes-patch-strategy", "")
        node = self._node(schema)
        return Field(
            name=name,
            node=node,
            required=required,
            list_type=schema.get("x-kubernetes-list-type", ""),
            list_keys=tuple(schema.get("x-kubernetes-list-map-keys", ())),
            merge_key=schema.get("x-kubernetes-patch-merge-key", ""),
            strategies=frozenset(strategy.split(",")) if strategy else frozenset(),
            atomic=schema.get("x-kubernetes-map-type") == "atomic",
            drops_zero=drops_zero and not isinstance(node, _STRUCTS),
        )

    def _node(self, schema: Mapping[str, Any]) -> Node:
        reference = schema.get("$ref")
        if reference is not None:
            return self.nodes[reference.removeprefix(definitions.REFERENCE_PREFIX)]
        match _json_type(schema):
            case "string" if schema.get("format") == "byte":
                return _BYTES
            case "string":
                return _STRING
            case "boolean":
                return _BOOLEAN
            case "integer":
                return _INTEGERS[schema.get("format", "int64")]
            case "number":
                return _NUMBER
            case "array":
                return ListNode(self._node(schema["items"]))
            case "object" if "additionalProperties" in schema:
                return MapNode(self._node(schema["additionalProperties"]))
        return _ANY


@lru_cache(maxsize=1)
def types() -> Types:
    """The types of the versions served. The schemas themselves are dropped once the nodes stand."""
    raw = {name: schema for name, schema in definitions.load().items() if not _UNSERVED.search(name)}
    return _Builder(raw).build()


def type_of(group: str, version: str, kind: str) -> ObjectNode | None:
    return types().by_kind.get(GroupVersionKind(group, version, kind))


def object_meta() -> Node:
    return types().by_name[OBJECT_META]

"""What server-side apply must know of a schema: which lists are merged item by item, and which parts are one whole."""

from __future__ import annotations

from apimachinery.patch.granular import DEDUCED
from apimachinery.schema.build import object_meta
from apimachinery.schema.nodes import AnyNode, Field, ListNode, MapNode, Node, ObjectNode
from apimachinery.structural.schema import Schema

_ANY = AnyNode()


class CustomObject(ObjectNode):
    """An object of a custom kind, or inside of one."""

    custom = True


def root(name: str, schema: Schema | None) -> Field:
    """The type of a whole custom object."""
    node = CustomObject(name)
    if schema is not None:
        node.fields = {key: field(key, one) for key, one in schema.properties.items()}
    node.fields["metadata"] = Field("metadata", object_meta())
    return Field("", node)


def field(name: str, schema: Schema) -> Field:
    return Field(
        name,
        _node(name, schema),
        list_type=schema.list_type,
        list_keys=schema.list_keys,
        atomic=schema.map_type == "atomic",
        default=schema.default if schema.has_default else None,
    )


def _node(name: str, schema: Schema) -> Node:
    kind = schema.types[0] if len(schema.types) == 1 else ""
    if kind == "array" and schema.items is not None:
        part = field("", schema.items)
        return ListNode(part.node, part)
    if kind != "object" and not (schema.preserve and schema.properties):
        return DEDUCED.node if schema.preserve and not kind else _ANY
    if isinstance(schema.additional, Schema):
        part = field("", schema.additional)
        return MapNode(part.node, part)
    if not schema.properties and schema.preserve and not schema.embedded:
        return DEDUCED.node
    node = CustomObject(name)
    node.fields = {key: field(key, one) for key, one in schema.properties.items()}
    if schema.embedded:
        node.fields["metadata"] = Field("metadata", object_meta())
    node.atomic = schema.map_type == "atomic"
    return node

"""The types of the built-in API and the decoding of request bodies into them."""

from apimachinery.schema.build import type_of, types
from apimachinery.schema.decode import Decoded, decode, decode_options, decode_value, parse
from apimachinery.schema.nodes import Field, ListNode, MapNode, Node, ObjectNode

__all__ = [
    "Decoded",
    "Field",
    "ListNode",
    "MapNode",
    "Node",
    "ObjectNode",
    "decode",
    "decode_options",
    "decode_value",
    "parse",
    "type_of",
    "types",
]

"""Custom kinds: what the schema in a CustomResourceDefinition makes of their objects.

`CustomVersion` is the entrance: one version of one definition, with everything that the server asks of a kind. The
other modules each do one thing with a compiled schema: prune, default, validate, tell server-side apply its types.
"""

from apimachinery.structural.schema import Schema
from apimachinery.structural.version import CustomVersion

__all__ = ["CustomVersion", "Schema"]

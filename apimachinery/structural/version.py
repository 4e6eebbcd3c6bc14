"""One version of a CustomResourceDefinition: all that the server asks of a kind, answered from its definition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from apimachinery import names
from apimachinery.fields import ErrorKind, FieldError, Path, invalid, quote
from apimachinery.schema.nodes import Field, Findings
from apimachinery.structural import embedded, lists, rules, types
from apimachinery.structural.prune import fill, prune_defaults, pruned
from apimachinery.structural.scale import ScalePaths
from apimachinery.structural.schema import Schema
from apimachinery.structural.validate import ABSENT, validate

Obj = dict[str, Any]
Errors = list[FieldError]
Convert = Callable[[Sequence[Obj]], Awaitable[list[Obj]]]

#: Complaints after which rules are not run: they would speak about values of the wrong shape.
_BLOCKING = frozenset(
    (ErrorKind.NOT_SUPPORTED, ErrorKind.REQUIRED, ErrorKind.TOO_LONG, ErrorKind.TOO_MANY, ErrorKind.TYPE_INVALID)
)
_BLOCKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
_OWN_FINALIZERS = frozenset(("orphan", "foregroundDeletion", "kubernetes"))


class CustomVersion:
    """Cheap to make: the schema, which may be large, is read by `load` and compiled when it is first needed.

    `version` is the entry of `spec.versions`, whose schema may be left out; `load` returns the whole schema, or None.
    Equal `digest`s mean equal definitions, on every apiserver.
    """

    def __init__(
        self,
        group: str,
        kind: str,
        version: Obj,
        load: Callable[[], Obj | None],
        digest: str,
        keep_unknown: bool = False,
    ) -> None:
        self.api_version = f"{group}/{version['name']}"
        self.group = group
        self.kind = kind
        self.name: str = version["name"]
        self.digest = digest
        self.columns: list[Obj] = version.get("additionalPrinterColumns") or []
        self.selectable = tuple(one["jsonPath"].lstrip(".") for one in version.get("selectableFields") or ())
        self.deprecation = ""
        subresources = version.get("subresources") or {}
        self.has_status = subresources.get("status") is not None
        scale = subresources.get("scale")
        self.scale = ScalePaths(scale) if scale is not None else None
        self.keep_unknown = keep_unknown
        self.versions: Mapping[str, CustomVersion] = {self.name: self}
        """All versions of the definition by name, this one among them."""
        self.terminating = False
        """The definition is being deleted: no new objects."""
        self.convert: Convert | None = None
        """Brings objects of other versions into this one, all at once; None where only the version's name changes."""
        self._load = load

    # -- The schema

    def raw_schema(self) -> Obj | None:
        """As it stands in the definition; read anew at each call, since it is big and rarely wanted."""
        return self._load()

    @cached_property
    def schema(self) -> Schema | None:
        raw = self._load()
        if raw is None:
            return None
        compiled = Schema(raw)
        if not self.keep_unknown:
            prune_defaults(compiled)
        return compiled

    @cached_property
    def typed(self) -> Field:
        """The type of the whole object, for server-side apply."""
        return types.root(f"{self.group}.{self.name}.{self.kind}", self.schema)

    # -- Objects on their way in and out

    def prune(self, obj: Obj, findings: Findings) -> Obj:
        """A copy without unknown fields, which are told to `findings`. Raises DecodeError."""
        if self.keep_unknown:
            return obj
        copy: Obj = pruned(obj, self.schema, findings, root=True)
        return copy

    def default(self, obj: Obj) -> None:
        """Fill in defaults, in place."""
        fill(obj, self.schema)

    def read(self, stored: Obj) -> Obj:
        """An object from the store as if it had been written today: pruned and with defaults; its version stays."""
        version = self.versions.get(stored["apiVersion"].rpartition("/")[2])
        if version is None:
            return stored
        copy = version.prune(stored, Findings())
        version.default(copy)
        return copy

    def renamed(self, obj: Obj) -> Obj:
        """An object of another version in this one, by the strategy None: nothing but the version changes."""
        copy = self.prune({**obj, "apiVersion": self.api_version}, Findings())
        return copy

    # -- Judgement, the general rules of metadata apart

    def validate_create(self, obj: Obj) -> Errors:
        return self._judge(obj, ABSENT)

    def validate_update(self, obj: Obj, old: Obj) -> Errors:
        return self._judge(obj, old)

    def _judge(self, obj: Obj, old: Any) -> Errors:
        found: Errors = []
        schema = self.schema
        if schema is not None:
            found += validate(obj, schema, old)
        if self.scale is not None:
            found += self.scale.check_spec(obj) + self.scale.check_status(obj)
        found += embedded.check(obj, schema, Path())
        if old is ABSENT or not lists.check(old, schema, Path()):
            found += lists.check(obj, schema, Path())
        return found + self._rules(obj, old, found)

    def validate_status_update(self, obj: Obj, old: Obj) -> Errors:
        found: Errors = []
        schema = self.schema
        status = schema.properties.get("status") if schema is not None else None
        if status is not None and "status" in obj:
            found += validate(obj["status"], status, old.get("status", ABSENT), "status")
        if self.scale is not None:
            found += self.scale.check_status(obj)
        repeated = lists.check(obj, schema, Path())
        if repeated and not lists.check(old, schema, Path()):
            found += repeated
        return found + self._rules(obj, old, found)

    def _rules(self, obj: Obj, old: Any, found: Errors) -> Errors:
        schema = self.schema
        if schema is None or not schema.has_rules:
            return []
        if any(error.kind in _BLOCKING for error in found):
            return [invalid(Path(), None, _BLOCKED)]
        return list(rules.walk(schema, obj, old, Path()))

    def warnings(self, obj: Obj, old: Obj | None) -> list[str]:
        """What writers are warned of: new finalizers with names that others may use, too."""
        before = ((old or {}).get("metadata") or {}).get("finalizers") or ()
        added = set((obj.get("metadata") or {}).get("finalizers") or ()) - set(before)
        found = []
        for name in sorted(added):
            head = f"metadata.finalizers: {quote(name)}: "
            found += [head + text for text in names.qualified_name(name)]
            if "/" not in name and name not in _OWN_FINALIZERS:
                path = " including a path (/)" if "." in name else ""
                advice = f"prefer a domain-qualified finalizer name{path} to avoid accidental conflicts"
                found.append(f"{head}{advice} with other finalizer writers")
        return found

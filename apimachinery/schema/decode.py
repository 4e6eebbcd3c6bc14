"""Request bodies to objects of a kind: syntax, `apiVersion` and `kind`, types, unknown and duplicate fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from apimachinery.errors import StatusError, bad_request, invalid
from apimachinery.fields import Path, quote
from apimachinery.fields import invalid as wrong
from apimachinery.gvk import join_api_version, split_api_version
from apimachinery.resources import ResourceInfo, find_kind
from apimachinery.schema import json_body, yaml_body
from apimachinery.schema.build import object_meta, type_of
from apimachinery.schema.json_body import SyntaxProblem
from apimachinery.schema.nodes import DecodeError, Findings, Mismatch, Node, Place, json_word

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_SUMMARY_BYTES = 30
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_INTERNAL_PACKAGES = {"": "core", "rbac.authorization.k8s.io": "rbac"}


class Kinded(Protocol):
    """What names a kind: a ResourceInfo, a SubresourceInfo or a GroupVersionKind."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...


@dataclass(slots=True)
class Decoded:
    """An object as it will be handled, and sentences about what was dropped on the way."""

    obj: dict[str, Any]
    unknown: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    #: Where each sentence belongs; needed only where there are sentences of both kinds.
    order: dict[str, int] = field(default_factory=dict)

    @property
    def findings(self) -> list[str]:
        """All sentences, in the order of the text."""
        found = [*self.unknown, *self.duplicates]
        return sorted(found, key=lambda one: self.order.get(one, len(self.order))) if self.order else found


def parse(data: bytes, content_type: str) -> tuple[Any, list[str]]:
    """A body's plain value and its duplicate fields, nothing typed; SyntaxProblem (a ValueError) on bad syntax."""
    if "yaml" in content_type:
        return yaml_body.parse(data)
    value = json_body.parse(data)
    return value, json_body.duplicates(data, value)


def decode(info: Kinded, data: bytes, content_type: str = JSON) -> Decoded:
    """The body of a request for `info`'s kind; StatusError 400, in upstream's words, if it cannot be one."""
    if PROTOBUF in content_type:
        return _decode_protobuf(info, data)
    try:
        value, duplicates = parse(data, content_type)
    except SyntaxProblem as error:
        raise _unrecognized(info, f"couldn't get version/kind; json parse error: {error}", data) from None
    decoded = decode_value(info, value, data, duplicates)
    if decoded.unknown and duplicates and "yaml" not in content_type:
        decoded.order = json_body.order(data)
    return decoded


def decode_value(info: Kinded, value: Any, data: bytes = b"", duplicates: list[str] | None = None) -> Decoded:
    """As `decode`, for a body that is parsed already; the value itself is left alone."""
    node = type_of(info.group, info.version, info.kind)
    expected = join_api_version(info.group, info.version)
    if type(value) is dict and value.get("kind") == info.kind and value.get("apiVersion") == expected:
        api_version, kind = expected, info.kind
    else:
        api_version, kind = _declared(info, value, data, required=node is None)
        _check_kind(info, api_version, kind)
    findings = Findings()
    obj = _typed(info, node, value, api_version, kind, findings)
    obj["apiVersion"] = expected
    obj["kind"] = info.kind
    return Decoded(obj, findings.unknown, duplicates or [])


def typed(info: Kinded, value: Any) -> Decoded:
    """As `decode_value` for what a patch made; DecodeError instead of an answer, since the caller words it."""
    if not isinstance(value, dict):
        raise DecodeError(f"json: cannot unmarshal {json_word(value)} into Go value of type v1.{info.kind}")
    findings = Findings()
    node = type_of(info.group, info.version, info.kind)
    try:
        obj = _custom(info, value, findings) if node is None else node.decode(value, None, findings)
    except RecursionError:
        raise DecodeError("exceeded max depth") from None
    return Decoded(obj, findings.unknown)


def decode_options(kind: str, data: bytes, content_type: str = JSON) -> Decoded:
    """`DeleteOptions` and its like, which every group version may claim as its own."""
    info = _MetaKind(kind)
    if PROTOBUF in content_type:
        return _decode_protobuf(info, data, any_version=True)
    try:
        value, duplicates = parse(data, content_type)
    except SyntaxProblem as error:
        raise _unrecognized(info, f"couldn't get version/kind; json parse error: {error}", data) from None
    _, declared = _declared(info, value, data, required=False)
    if declared != kind:
        raise bad_request(f"decoded object cannot be converted to {kind}")
    findings = Findings()
    obj = _typed(info, type_of("", "v1", kind), value, "v1", kind, findings)
    return Decoded(obj | {"apiVersion": "v1", "kind": kind}, findings.unknown, duplicates)


def _decode_protobuf(info: Kinded, data: bytes, any_version: bool = False) -> Decoded:
    """A protobuf body; its message is canonical already, so it needs no second walk."""
    from apimachinery import protobuf

    try:
        api_version, kind, message = protobuf.open_envelope(data)
        api_version = api_version or join_api_version(info.group, info.version)
        kind = kind or info.kind
        if not any_version:
            _check_kind(info, api_version, kind)
        elif kind != info.kind:
            raise bad_request(f"decoded object cannot be converted to {info.kind}")
        obj = protobuf.decode(protobuf.close_envelope(join_api_version(info.group, info.version), kind, message))
    except ValueError as error:
        raise _unrecognized(info, str(error), data) from None
    return Decoded(obj)


@dataclass(frozen=True, slots=True)
class _MetaKind:
    kind: str
    group: str = ""
    version: str = "v1"


def _declared(info: Kinded, value: Any, data: bytes, required: bool) -> tuple[str, str]:
    """What the body says it is; what it leaves out is taken from the request, but for custom resources."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        shape = (
            'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
        complaint = f"json: cannot unmarshal {json_word(value)} into Go value of type {shape}"
        raise _unrecognized(info, f"couldn't get version/kind; json parse error: {complaint}", data)
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name) or "", str):
            complaint = f"json: cannot unmarshal {json_word(value[name])} into Go struct field .{name} of type string"
            raise _unrecognized(info, f"couldn't get version/kind; json parse error: {complaint}", data)
    kind, api_version = value.get("kind") or "", value.get("apiVersion") or ""
    if required and not kind:
        raise _unrecognized(info, f"Object 'Kind' is missing in '{data.decode('utf-8', 'replace').strip()}'", data)
    try:
        split_api_version(api_version)
    except ValueError as error:
        raise _unrecognized(info, str(error), data) from None
    return api_version or join_api_version(info.group, info.version), kind or info.kind


def _check_kind(info: Kinded, api_version: str, kind: str) -> None:
    group, version = split_api_version(api_version)
    expected = join_api_version(info.group, info.version)
    if kind == info.kind:
        if api_version == expected:
            return
        if group == info.group or type_of(group, version, kind) is not None:
            raise bad_request(
                f"the API version in the data ({api_version}) does not match the expected API version ({expected})"
            )
    if isinstance(info, ResourceInfo) and info.custom is not None:
        if api_version != expected:
            raise bad_request(
                f"the API version in the data ({api_version}) does not match the expected API version ({expected})"
            )
        raise invalid(info.group, kind, "", [wrong(Path("kind"), kind, f"must be {info.kind}")])
    if type_of(group, version, kind) is None and find_kind(group, version, kind) is None:
        cause = f"no kind {quote(kind)} is registered for version {quote(api_version)} in scheme {quote(_SCHEME)}"
    else:
        packages = [_INTERNAL_PACKAGES.get(one, one.partition(".")[0]) for one in (group, info.group)]
        cause = f"converting ({version}.{kind}) to ({packages[1]}.{info.kind}): unknown conversion"
    raise _cannot_be_handled(info, kind, version, cause)


def _typed(
    info: Kinded, node: Node | None, value: Any, api_version: str, kind: str, findings: Findings
) -> dict[str, Any]:
    try:
        if node is None:
            return _custom(info, value, findings)
        decoded: dict[str, Any] = node.decode(value or {}, None, findings)
    except DecodeError as error:
        raise _cannot_be_handled(info, kind, split_api_version(api_version)[1], str(error)) from None
    except RecursionError:
        raise _cannot_be_handled(info, kind, split_api_version(api_version)[1], "exceeded max depth") from None
    return decoded


def _custom(info: Kinded, value: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """An object whose schema is not built in: its metadata is typed, the rest is its definition's business."""
    obj = dict(value)
    metadata = obj.get("metadata")
    if metadata is not None:
        obj["metadata"] = decode_metadata(metadata, (None, "metadata"), findings)
    if isinstance(info, ResourceInfo) and info.custom is not None:
        return info.custom.prune(obj, findings)
    return obj


def decode_metadata(metadata: Any, place: Place, findings: Findings) -> dict[str, Any]:
    """The metadata of an object that has no type of its own, or of one in such an object. Raises DecodeError."""
    node = object_meta()
    try:
        decoded: dict[str, Any] = node.decode(metadata, place, findings)
    except Mismatch as wrong:
        said = f"json: cannot unmarshal {json_word(wrong.value)} into Go value of type {wrong.go_type}"
        raise DecodeError(said) from None
    return decoded


def _cannot_be_handled(info: Kinded, kind: str, version: str, cause: str) -> StatusError:
    return bad_request(f"{kind} in version {quote(version)} cannot be handled as a {info.kind}: {cause}")


def _unrecognized(info: Kinded, cause: str, data: bytes) -> StatusError:
    return bad_request(f"the object provided is unrecognized (must be of type {info.kind}): {cause} ({_summary(data)})")


def _summary(data: bytes) -> str:
    if not data:
        return "<empty>"
    head = data[:_SUMMARY_BYTES]
    text = head.decode("utf-8", "replace") if data[:1] == b"{" else head.hex()
    return f"{text} ..." if len(data) > _SUMMARY_BYTES else text

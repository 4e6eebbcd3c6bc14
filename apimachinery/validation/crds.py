"""Rules of CustomResourceDefinitions, the schemas inside apart.

Upstream judges a form in which whatever all versions have in common stands beside them, and names its places
accordingly: a definition with one version is told about `spec.validation.openAPIV3Schema`.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from apimachinery import names
from apimachinery.fields import (
    FieldError,
    Path,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    quote,
    required,
    too_many,
)
from apimachinery.strategies.equality import same
from apimachinery.validation import crd_schemas
from apimachinery.validation.metadata import immutable
from apimachinery.validation.webhooks import webhook_service, webhook_url

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
STORED = Path("status", "storedVersions")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
REVIEW_VERSIONS = ("v1", "v1beta1")
MOST_SELECTABLE = 8
APPROVAL = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
_ONE_CLIENT = "exactly one of url or service is required"
_SCALAR = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)
_SHARED = ("subresources", "schema", "additionalPrinterColumns", "selectableFields")


def _hoisted(spec: Obj) -> Obj:
    """The spec with what every version has alike taken out of them."""
    versions = [dict(version) for version in spec.get("versions") or ()]
    result = {**spec, "versions": versions}
    if not versions:
        return result
    for field in _SHARED:
        first = versions[0].get(field)
        if all(same(version.get(field), first) for version in versions):
            for version in versions:
                version.pop(field, None)
            if first is not None:
                result["validation" if field == "schema" else field] = first
    return result


def create(obj: Obj) -> Errors:
    found = _name(obj) + _spec(obj.get("spec") or {}, None)
    return found + _after_spec(obj, None)


def update(new: Obj, old: Obj) -> Errors:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _spec(spec, before)
    called, called_before = spec.get("names") or {}, before.get("names") or {}
    if _is_established(old):
        found += immutable(spec.get("scope"), before.get("scope"), SPEC.child("scope"))
        found += immutable(called.get("kind"), called_before.get("kind"), SPEC.child("names", "kind"))
    found += immutable(spec.get("group"), before.get("group"), SPEC.child("group"))
    found += immutable(called.get("plural"), called_before.get("plural"), SPEC.child("names", "plural"))
    return found + _after_spec(new, old)


def status_update(new: Obj, old: Obj) -> Errors:
    return _names((new.get("status") or {}).get("acceptedNames") or {}, Path("status", "acceptedNames"))


def _is_established(obj: Obj) -> bool:
    listed = (obj.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in listed)


def _name(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    name = (obj.get("metadata") or {}).get("name") or ""
    wanted = f"{(spec.get('names') or {}).get('plural') or ''}.{spec.get('group') or ''}"
    if not name or name == wanted:
        return []
    return [invalid(Path("metadata", "name"), name, 'must be spec.names.plural+"."+spec.group')]


def _after_spec(obj: Obj, old: Obj | None) -> Errors:
    found = status_update(obj, obj) + _stored_versions(obj)
    found += _approval(obj, old)
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    if spec.get("preserveUnknownFields") and not before.get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        found.append(invalid(SPEC.child("preserveUnknownFields"), True, detail))
    return found


def _stored_versions(obj: Obj) -> Errors:
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if not stored:
        return [invalid(STORED, stored, "must have at least one stored version")]
    versions = (obj.get("spec") or {}).get("versions") or []
    found: Errors = [
        invalid(STORED, stored, f"must have the storage version {version['name']}")
        for version in versions
        if version.get("storage") and version.get("name") not in stored
    ]
    served = {version.get("name") for version in versions}
    for index, name in enumerate(stored):
        if name not in served:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                "spec.versions until a storage migration ensures no data remains persisted in "
                f"{name} and removes {name} from status.storedVersions"
            )
            found.append(invalid(STORED.index(index), name, detail))
    return found


def _approval(obj: Obj, old: Obj | None) -> Errors:
    group = f".{(obj.get('spec') or {}).get('group') or ''}"
    if not group.endswith((".k8s.io", ".kubernetes.io")):
        return []
    state = _approval_state(obj)
    if old is not None and _approval_state(old) == state:
        return []
    place = Path("metadata", "annotations").key(APPROVAL)
    must = f"protected groups must have approval annotation {quote(APPROVAL)}"
    if state == "missing":
        return [required(place, f"{must}, {_SEE}")]
    if state == "invalid":
        value = obj["metadata"]["annotations"][APPROVAL]
        detail = f'{must} with either a URL or a reason starting with "unapproved", {_SEE}'
        return [invalid(place, value, detail)]
    return []


def _approval_state(obj: Obj) -> str:
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(APPROVAL) or ""
    if not text:
        return "missing"
    if text.startswith("unapproved"):
        return "bypassed"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "invalid"
    return "approved" if parts.scheme and parts.netloc else "invalid"


def _spec(raw: Obj, before: Obj | None) -> Errors:
    spec = _hoisted(raw)
    versions = spec["versions"]
    found = _group(spec.get("group") or "")
    scope = spec.get("scope") or ""
    if not scope:
        found.append(required(SPEC.child("scope")))
    elif scope not in {"Cluster", "Namespaced"}:
        found.append(not_supported(SPEC.child("scope"), scope, ("Cluster", "Namespaced")))
    if _all_have_schemas(before) and not (spec.get("validation") or {}).get("openAPIV3Schema"):
        found += [
            required(SPEC.child("versions").index(index).child("schema", "openAPIV3Schema"))
            for index, version in enumerate(versions)
            if (version.get("schema") or {}).get("openAPIV3Schema") is None
        ]
    for index, version in enumerate(versions):
        place = SPEC.child("versions").index(index)
        wrong = names.dns1035_label(version.get("name") or "")
        if wrong:
            found.append(invalid(place.child("name"), version.get("name") or "", ",".join(wrong)))
        found += _version(version, place, spec.get("subresources"))
    called = [version.get("name") for version in versions]
    listed = raw.get("versions") or []
    if len(set(called)) < len(called):
        found.append(invalid(SPEC.child("versions"), listed, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        found.append(invalid(SPEC.child("versions"), listed, detail))
    wanted = spec.get("names") or {}
    found += [
        required(SPEC.child("names", field))
        for field in ("plural", "singular", "kind", "listKind")
        if not wanted.get(field)
    ]
    found += _names(wanted, SPEC.child("names"))
    return found + _shared(spec, before)


def _all_have_schemas(spec: Obj | None) -> bool:
    """Whether schemas are asked for: they are, unless the stored definition has none."""
    versions = (spec or {}).get("versions") or ()
    return all((version.get("schema") or {}).get("openAPIV3Schema") is not None for version in versions)


def _group(group: str) -> Errors:
    place = SPEC.child("group")
    if not group:
        return [required(place)]
    wrong = names.dns1123_subdomain(group)
    if wrong:
        return [invalid(place, group, ",".join(wrong))]
    return [] if "." in group else [invalid(place, group, "should be a domain with at least one dot")]


def _shared(spec: Obj, before: Obj | None) -> Errors:
    status = any(
        (subresources or {}).get("status") is not None
        for subresources in (spec.get("subresources"), *(one.get("subresources") for one in spec["versions"]))
    )
    found = crd_schemas.validation(spec.get("validation"), status, SPEC.child("validation"))
    found += _subresources(spec.get("subresources"), SPEC.child("subresources"))
    for index, column in enumerate(spec.get("additionalPrinterColumns") or ()):
        found += _column(column, SPEC.child("additionalPrinterColumns").index(index))
    fields, place = spec.get("selectableFields") or [], SPEC.child("selectableFields")
    if fields:
        schema = (spec.get("validation") or {}).get("openAPIV3Schema")
        if schema is None:
            found.append(invalid(place, "", "may only be set when validations.schema is included"))
        else:
            found += _selectable(fields, schema, place)
    conversion = spec.get("conversion")
    if conversion is None:
        return found
    strategy = conversion.get("strategy") or ""
    if strategy != "None" and spec.get("preserveUnknownFields"):
        detail = "must be None if spec.preserveUnknownFields is true"
        found.append(invalid(SPEC.child("conversion", "strategy"), strategy, detail))
    return found + _conversion(conversion, before, SPEC.child("conversion"))


def _version(version: Obj, path: Path, shared: Obj | None) -> Errors:
    found: Errors = [
        invalid(path.child("deprecationWarning"), version["deprecationWarning"], text)
        for text in _bad_warning(version.get("deprecated") or False, version.get("deprecationWarning"))
    ]
    status = (version.get("subresources") or shared or {}).get("status") is not None
    found += crd_schemas.validation(version.get("schema"), status, path.child("schema"))
    found += _subresources(version.get("subresources"), path.child("subresources"))
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        found += _column(column, path.child("additionalPrinterColumns").index(index))
    fields, place = version.get("selectableFields") or [], path.child("selectableFields")
    if fields:
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            detail = "may only be set when `version.schema.openAPIV3Schema` is not included"
            found.append(invalid(place, "", detail))
        else:
            found += _selectable(fields, schema, place)
    return found


def _bad_warning(deprecated: bool, warning: str | None) -> list[str]:
    if warning is None:
        return []
    if not deprecated:
        return ["can only be set for deprecated versions"]
    wrong = ["must be <= 256 characters long"] if len(warning.encode()) > 256 else []
    if not warning:
        wrong.append("must not be an empty string")
    for index, char in enumerate(warning):
        if not char.isprintable():
            detail = "must only contain printable UTF-8 characters; non-printable character found at index"
            wrong.append(f"{detail} {len(warning[:index].encode())}")
            break
    return wrong


def _names(table: Obj, path: Path) -> Errors:
    found: Errors = []
    for field in ("plural", "singular", "kind", "listKind"):
        value = table.get(field)
        mixed = field in {"kind", "listKind"}
        wrong = names.dns1035_label(value.lower() if mixed else value) if value else []
        if wrong:
            detail = ",".join(wrong)
            if mixed:
                detail = f"may have mixed case, but should otherwise match: {detail}"
            found.append(invalid(path.child(field), value, detail))
    found += _labels(table.get("shortNames") or [], path.child("shortNames"))
    if table.get("kind") and table["kind"] == table.get("listKind"):
        found.append(invalid(path.child("listKind"), table["listKind"], "kind and listKind may not be the same"))
    return found + _labels(table.get("categories") or [], path.child("categories"))


def _labels(listed: list[str], path: Path) -> Errors:
    found: Errors = []
    for index, name in enumerate(listed):
        wrong = names.dns1035_label(name)
        if wrong:
            found.append(invalid(path.index(index), name, ",".join(wrong)))
    return found


def _column(column: Obj, path: Path) -> Errors:
    found: Errors = [] if column.get("name") else [required(path.child("name"))]
    kind, form = column.get("type") or "", column.get("format") or ""
    detail = f"must be one of {','.join(COLUMN_TYPES)}"
    if not kind:
        found.append(required(path.child("type"), detail))
    elif kind not in COLUMN_TYPES:
        found.append(invalid(path.child("type"), kind, detail))
    if form and form not in COLUMN_FORMATS:
        found.append(invalid(path.child("format"), form, f"must be one of {','.join(COLUMN_FORMATS)}"))
    json_path = column.get("jsonPath") or ""
    if not json_path:
        return [*found, required(path.child("JSONPath"))]
    return found + _simple_path(json_path, path.child("JSONPath"))


def _simple_path(text: str, path: Path) -> Errors:
    return [] if text.startswith(".") else [invalid(path, text, "must be a simple json path starting with .")]


def _subresources(subresources: Obj | None, path: Path) -> Errors:
    scale = (subresources or {}).get("scale")
    if scale is None:
        return []
    found: Errors = []
    for field, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        text, place = scale.get(field) or "", path.child(f"scale.{field}")
        if not text:
            found.append(required(place))
        else:
            wrong = _simple_path(text, place)
            if not wrong and not text.startswith(root):
                wrong = [invalid(place, text, f"should be a json path under {root[:-1]}")]
            found += wrong
    text, place = scale.get("labelSelectorPath") or "", path.child("scale.labelSelectorPath")
    if text:
        wrong = _simple_path(text, place)
        if not wrong and not text.startswith((".spec.", ".status.")):
            wrong = [invalid(place, text, "should be a json path under either .spec or .status")]
        found += wrong
    return found


def _selectable(fields: list[Obj], schema: Obj, path: Path) -> Errors:
    seen: set[str] = set()
    found: Errors = []
    for index, field in enumerate(fields):
        place, text = path.index(index).child("jsonPath"), field.get("jsonPath") or ""
        if not text:
            found.append(required(place))
            continue
        target, wrong = _follow(text, schema)
        if target is None:
            found.append(invalid(place, text, f"is an invalid path: {wrong}"))
            continue
        if text.split(".")[1] == "metadata":
            found.append(invalid(place, text, "must not point to fields in metadata"))
        if target.get("type") not in {"string", "boolean", "integer"}:
            found.append(invalid(place, text, _SCALAR))
        if text in seen:
            found.append(duplicate(place, text))
        seen.add(text)
    if len(seen) > MOST_SELECTABLE:
        found.append(too_many(path, len(seen), MOST_SELECTABLE))
    return found


def _follow(text: str, schema: Obj) -> tuple[Obj | None, str]:
    """The schema a path of names leads to, or why there is none."""
    tokens = re.findall(r"[.\[\]]|[^.\[\]]+", text)
    current = schema
    while tokens:
        mark = tokens.pop(0)
        if mark == "[":
            return None, "array notation is not allowed"
        if mark != ".":
            return None, f"expected [ or . but got: {mark}"
        if not tokens:
            return None, "unexpected end of JSON path"
        name = tokens.pop(0)
        if current.get("properties") is not None:
            if name not in current["properties"]:
                return None, "does not refer to a valid field"
            current = current["properties"][name]
        elif isinstance(current.get("additionalProperties"), dict):
            current = current["additionalProperties"]
        else:
            return None, "does not refer to a valid field"
    return current, ""


def _conversion(conversion: Obj, before: Obj | None, path: Path) -> Errors:
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    client, place = (webhook or {}).get("clientConfig"), path.child("webhookClientConfig")
    versions = (webhook or {}).get("conversionReviewVersions") or []
    found: Errors = []
    if not strategy:
        found.append(required(path.child("strategy")))
    elif strategy not in {"None", "Webhook"}:
        found.append(not_supported(path.child("strategy"), strategy, ("None", "Webhook")))
    if strategy != "Webhook":
        detail = "should not be set when strategy is not set to Webhook"
        if client is not None:
            found.append(forbidden(place, detail))
        return found + ([forbidden(path.child("conversionReviewVersions"), detail)] if versions else [])
    if client is None:
        found.append(required(place, "required when strategy is set to Webhook"))
    elif (client.get("url") is None) == (client.get("service") is None):
        found.append(required(place, _ONE_CLIENT))
    elif client.get("url") is not None:
        found += webhook_url(client["url"], place.child("url"))
    else:
        service = client["service"]
        swapped = {**service, "name": service.get("namespace"), "namespace": service.get("name")}
        found += webhook_service(swapped, place.child("service"))
    return found + _review_versions(versions, before, path.child("conversionReviewVersions"))


def _review_versions(listed: list[str], before: Obj | None, path: Path) -> Errors:
    if not listed:
        return [required(path)]
    stored = (((before or {}).get("conversion") or {}).get("webhook") or {}).get("conversionReviewVersions") or []
    found: Errors = []
    for index, version in enumerate(listed):
        if version in listed[:index]:
            found.append(invalid(path.index(index), version, "duplicate version"))
        else:
            found += [invalid(path.index(index), version, text) for text in names.dns1035_label(version)]
    tolerated = stored and not set(stored) & set(REVIEW_VERSIONS)
    if not tolerated and not set(listed) & set(REVIEW_VERSIONS):
        found.append(invalid(path, listed, f"must include at least one of {', '.join(REVIEW_VERSIONS)}"))
    return found

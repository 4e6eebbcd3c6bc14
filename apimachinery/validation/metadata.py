"""Rules of ObjectMeta, and of label selectors and conditions, which many kinds share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
    too_long,
)
from apimachinery.strategies.equality import same

Obj = dict[str, Any]
Errors = list[FieldError]
NameRule = Callable[[str], list[str]]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than zero"
ANNOTATIONS_LIMIT = 256 * 1024

METADATA = Path("metadata")


def non_negative(value: Any, path: Path) -> Errors:
    return [invalid(path, value, NOT_NEGATIVE)] if (value or 0) < 0 else []


def immutable(new: Any, old: Any, path: Path) -> Errors:
    return [] if same(new, old) else [invalid(path, new, IMMUTABLE)]


def object_meta(meta: Obj, namespaced: bool, name_rule: NameRule, path: Path = METADATA) -> Errors:
    """Metadata of a new object; generateName has been used up already, but is judged for the user's sake."""
    found: Errors = []
    prefix, name, namespace = meta.get("generateName"), meta.get("name"), meta.get("namespace")
    if prefix:
        found += [invalid(path.child("generateName"), prefix, text) for text in name_rule(names.masked(prefix))]
    if not name:
        found.append(required(path.child("name"), "name or generateName is required"))
    else:
        found += [invalid(path.child("name"), name, text) for text in name_rule(name)]
    if namespaced:
        if not namespace:
            found.append(required(path.child("namespace")))
        else:
            found += [invalid(path.child("namespace"), namespace, text) for text in names.dns1123_label(namespace)]
    elif namespace:
        found.append(forbidden(path.child("namespace"), "not allowed on this type"))
    if meta.get("generation"):
        found += non_negative(meta["generation"], path.child("generation"))
    found += _tables(meta, path)
    if meta.get("finalizers"):
        found += finalizers(meta["finalizers"], path.child("finalizers"))
    if meta.get("managedFields"):
        found += managed_fields(meta["managedFields"], path.child("managedFields"))
    return found


def _tables(meta: Obj, path: Path) -> Errors:
    """Labels, annotations and owners: most objects have few of these, and what is not there has no path either."""
    found: Errors = []
    if meta.get("labels"):
        found += labels(meta["labels"], path.child("labels"))
    if meta.get("annotations"):
        found += valid_annotations(meta["annotations"], path.child("annotations"))
    if meta.get("ownerReferences"):
        found += owner_references(meta["ownerReferences"], path.child("ownerReferences"))
    return found


def object_meta_update(new: Obj, old: Obj, path: Path = METADATA) -> Errors:
    """Metadata of a replaced object, `old` being what is stored."""
    found: Errors = []
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            listed = ", ".join(quote(one) for one in extra)
            detail = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            found.append(forbidden(path.child("finalizers"), detail))
    if not new.get("resourceVersion"):
        found.append(invalid(path.child("resourceVersion"), "", "must be specified for an update"))
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        found.append(invalid(path.child("generation"), new.get("generation") or 0, "must not be decremented"))
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(field) != old.get(field) and (new.get(field) or old.get(field)):
            value = new.get(field)
            if value is None and field in {"name", "namespace", "uid"}:
                value = ""
            found.append(invalid(path.child(field), value, IMMUTABLE))
    found += _tables(new, path)
    if new.get("managedFields"):
        found += managed_fields(new["managedFields"], path.child("managedFields"))
    return found


def labels(table: Mapping[str, str] | None, path: Path) -> Errors:
    found: Errors = []
    for key, value in (table or {}).items():
        found += label_key(key, path)
        found += [invalid(path, value, text) for text in names.label_value(value)]
    return found


def label_key(key: str, path: Path) -> Errors:
    return [invalid(path, key, text) for text in names.qualified_name(key)]


def valid_annotations(table: Mapping[str, str] | None, path: Path) -> Errors:
    found: Errors = []
    size = 0
    for key, value in (table or {}).items():
        found += [invalid(path, key, text) for text in names.qualified_name(key.lower())]
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_LIMIT:
        found.append(too_long(path, "", ANNOTATIONS_LIMIT))
    return found


def owner_references(references: Sequence[Obj], path: Path) -> Errors:
    found: Errors = []
    controller, several = "", False
    for one in references:
        api_version = one.get("apiVersion") or ""
        # An apiVersion without slash is a version of the legacy group, one with two slashes is none at all.
        version = api_version.rpartition("/")[2] if api_version.count("/") < 2 else ""
        if not version:
            found.append(invalid(path.child("apiVersion"), api_version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not one.get(field):
                found.append(invalid(path.child(field), one.get(field) or "", "must not be empty"))
        if api_version == "v1" and one.get("kind") == "Event":
            found.append(invalid(path, one, "/v1, Kind=Event is disallowed from being an owner"))
        if one.get("controller"):
            current = f"{one.get('kind')}/{one.get('name')}"
            if controller and not several:  # said once: the complaint quotes the whole list
                several = True
                detail = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {current}"
                )
                found.append(invalid(path, list(references), detail))
            controller = controller or current
    return found


def finalizers(listed: Sequence[str], path: Path) -> Errors:
    found: Errors = []
    for one in listed:
        found += [invalid(path, one, text) for text in names.qualified_name(one)]
    if "orphan" in listed and "foregroundDeletion" in listed:
        found.append(invalid(path, list(listed), "finalizer orphan and foregroundDeletion cannot be both set"))
    return found


def managed_fields(entries: Sequence[Obj], path: Path) -> Errors:
    found: Errors = []
    for index, entry in enumerate(entries):
        if _is_plain(entry):
            continue
        place = path.index(index)
        if entry.get("operation") not in {"Apply", "Update"}:
            found.append(invalid(place.child("operation"), entry.get("operation") or "", "must be `Apply` or `Update`"))
        if entry.get("fieldsType") and entry["fieldsType"] != "FieldsV1":
            found.append(invalid(place.child("fieldsType"), entry["fieldsType"], "must be `FieldsV1`"))
        found += field_manager(entry.get("manager") or "", place.child("manager"))
        if len(entry.get("subresource") or "") > 256:
            found.append(too_long(place.child("subresource"), "", 256))
    return found


def _is_plain(entry: Obj) -> bool:
    """Whether an entry has nothing to complain of, as those that the server has just written."""
    manager = entry.get("manager") or ""
    return (
        entry.get("operation") in {"Apply", "Update"}
        and entry.get("fieldsType") == "FieldsV1"
        and not entry.get("subresource")
        and len(manager) <= 128
        and manager.isascii()
        and manager.isprintable()
    )


def field_manager(manager: str, path: Path) -> Errors:
    """The name under which a writer's fields are recorded; also the `fieldManager` parameter of requests."""
    found: Errors = []
    if len(manager.encode()) > 128:
        found.append(too_long(path, "", 128))
    for place, character in enumerate(manager):
        if not character.isprintable():
            shown = f"U+{ord(character):04X}"
            found.append(invalid(path, manager, f"invalid character {shown} (at position {place})"))
    return found


def label_selector(selector: Obj | None, path: Path, *, any_value: bool = False) -> Errors:
    """`any_value` accepts label values that could never match, for objects stored before they were refused."""
    if selector is None:
        return []
    found = labels(selector.get("matchLabels"), path.child("matchLabels"))
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        found += _requirement(requirement, path.child("matchExpressions").index(index), any_value)
    return found


def _requirement(requirement: Obj, path: Path, any_value: bool) -> Errors:
    found: Errors = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in {"In", "NotIn"}:
        if not values:
            found.append(required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(forbidden(path.child("values"), detail))
    else:
        found.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    found += label_key(requirement.get("key") or "", path.child("key"))
    if not any_value:
        for index, value in enumerate(values):
            place = path.child("values").index(index)
            found += [invalid(place, value, text) for text in names.label_value(value)]
    return found


def is_empty_selector(selector: Obj | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_reason_re = re.compile(_REASON, re.ASCII)


def conditions(listed: Sequence[Obj], path: Path) -> Errors:
    """Conditions of the common shape (`metav1.Condition`)."""
    found: Errors = []
    seen: set[str] = set()
    for index, one in enumerate(listed):
        place, kind = path.index(index), one.get("type") or ""
        if kind in seen:
            found.append(duplicate(place.child("type"), kind))
        seen.add(kind)
        found += label_key(kind, place.child("type"))
        if one.get("status") not in {"True", "False", "Unknown"}:
            found.append(not_supported(place.child("status"), one.get("status") or "", ["False", "True", "Unknown"]))
        if (one.get("observedGeneration") or 0) < 0:
            detail = "must be greater than or equal to zero"
            found.append(invalid(place.child("observedGeneration"), one["observedGeneration"], detail))
        if not one.get("lastTransitionTime"):
            found.append(required(place.child("lastTransitionTime")))
        found += _reason(one.get("reason") or "", place.child("reason"))
        if len((one.get("message") or "").encode()) > 32 * 1024:
            found.append(too_long(place.child("message"), "", 32 * 1024))
    return found


def _reason(reason: str, path: Path) -> Errors:
    if not reason:
        return [required(path)]
    found: Errors = []
    if not _reason_re.fullmatch(reason):
        sentence = (
            "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
            "characters or '_,:', and must end with an alphanumeric character or '_'"
        )
        examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
        found.append(invalid(path, reason, names.regex_complaint(sentence, _REASON, *examples)))
    if len(reason) > 1024:
        found.append(too_long(path, "", 1024))
    return found

"""Rules of what steers a pod to nodes: affinity, tolerations, taints, spread constraints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from apimachinery.validation.metadata import POSITIVE, label_key, label_selector

Obj = dict[str, Any]
Errors = list[FieldError]

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity(wanted: Obj | None, path: Path) -> Errors:
    if wanted is None:
        return []
    found: Errors = []
    nodes = wanted.get("nodeAffinity")
    if nodes is not None:
        place = path.child("nodeAffinity")
        if nodes.get(REQUIRED) is not None:
            found += node_selector(nodes[REQUIRED], place.child(REQUIRED))
        for index, term in enumerate(nodes.get(PREFERRED) or ()):
            where = place.child(PREFERRED).index(index)
            found += _weight(term, where)
            found += node_selector_term(term.get("preference") or {}, where.child("preference"), any_value=True)
    for field in ("podAffinity", "podAntiAffinity"):
        pods = wanted.get(field)
        if pods is None:
            continue
        for index, term in enumerate(pods.get(REQUIRED) or ()):
            found += _pod_term(term, path.child(field, REQUIRED).index(index))
        for index, term in enumerate(pods.get(PREFERRED) or ()):
            where = path.child(field, PREFERRED).index(index)
            found += _weight(term, where)
            found += _pod_term(term.get("podAffinityTerm") or {}, where.child("podAffinityTerm"))
    return found


def _weight(term: Obj, path: Path) -> Errors:
    weight = term.get("weight") or 0
    return [] if 0 < weight <= 100 else [invalid(path.child("weight"), weight, "must be in the range 1-100")]


def node_selector(selector: Obj, path: Path, *, any_value: bool = False) -> Errors:
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        return [required(path.child("nodeSelectorTerms"), "must have at least one node selector term")]
    found: Errors = []
    for index, term in enumerate(terms):
        found += node_selector_term(term, path.child("nodeSelectorTerms").index(index), any_value=any_value)
    return found


def node_selector_term(term: Obj, path: Path, *, any_value: bool = False) -> Errors:
    found: Errors = []
    for index, one in enumerate(term.get("matchExpressions") or ()):
        found += _node_requirement(one, path.child("matchExpressions").index(index), any_value)
    for index, one in enumerate(term.get("matchFields") or ()):
        found += _field_requirement(one, path.child("matchFields").index(index))
    return found


def _node_requirement(one: Obj, path: Path, any_value: bool) -> Errors:
    found: Errors = []
    operator, values = one.get("operator") or "", one.get("values") or []
    if operator in {"In", "NotIn"}:
        if not values:
            found.append(required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(forbidden(path.child("values"), detail))
    elif operator in {"Gt", "Lt"}:
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            found.append(required(path.child("values"), detail))
    else:
        found.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    found += label_key(one.get("key") or "", path.child("key"))
    if not any_value:
        for index, value in enumerate(values):
            found += [invalid(path.child("values").index(index), value, text) for text in names.label_value(value)]
    return found


def _field_requirement(one: Obj, path: Path) -> Errors:
    found: Errors = []
    operator, values, key = one.get("operator") or "", one.get("values") or [], one.get("key") or ""
    if operator not in {"In", "NotIn"}:
        found.append(invalid(path.child("operator"), operator, "not a valid selector operator"))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        found.append(required(path.child("values"), detail))
    if key != "metadata.name":
        return [*found, invalid(path.child("key"), key, "not a valid field selector key")]
    for index, value in enumerate(values):
        found += [invalid(path.child("values").index(index), value, text) for text in names.dns1123_subdomain(value)]
    return found


def _pod_term(term: Obj, path: Path) -> Errors:
    found = label_selector(term.get("labelSelector"), path.child("labelSelector"))
    found += label_selector(term.get("namespaceSelector"), path.child("namespaceSelector"))
    for name in term.get("namespaces") or ():
        found += [invalid(path.child("namespace"), name, text) for text in names.dns1123_label(name)]
    keys, others = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    found += _selector_keys(keys, others, term.get("labelSelector"), path)
    topology = term.get("topologyKey") or ""
    if not topology:
        found.append(required(path.child("topologyKey"), "can not be empty"))
    return found + label_key(topology, path.child("topologyKey"))


def _selector_keys(keys: Sequence[str], others: Sequence[str], selector: Obj | None, path: Path) -> Errors:
    found: Errors = []
    for field, listed in (("matchLabelKeys", keys), ("mismatchLabelKeys", others)):
        place = path.child(field)
        if listed and selector is None:
            found.append(forbidden(place, "must not be specified when labelSelector is not set"))
        elif listed:
            for index, key in enumerate(listed):
                found += label_key(key, place.index(index))
    if selector is not None:
        known = set(selector.get("matchLabels") or ())
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key")
            # The server itself has merged each key into the selector once: a second time is the user's.
            if key in keys and key in known:
                detail = "exists in both matchLabelKeys and labelSelector"
                found.append(invalid(path.index(list(keys).index(key)), key, detail))
            known.add(key)
    for index, key in enumerate(keys):
        if key in others:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            found.append(invalid(path.child("matchLabelKeys").index(index), key, detail))
    return found


def tolerations(listed: Sequence[Obj], path: Path) -> Errors:
    found: Errors = []
    for index, one in enumerate(listed):
        place = path.index(index)
        key, operator = one.get("key") or "", one.get("operator") or ""
        value, wanted_effect = one.get("value") or "", one.get("effect") or ""
        if key:
            found += label_key(key, place.child("key"))
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(invalid(place.child("operator"), operator, detail))
        if one.get("tolerationSeconds") is not None and wanted_effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(invalid(place.child("effect"), wanted_effect, detail))
        if operator in {"Equal", ""}:
            wrong = names.label_value(value)
            if wrong:
                found.append(invalid(place.child("operator"), value, ";".join(wrong)))
        elif operator == "Exists":
            if value:
                detail = "value must be empty when `operator` is 'Exists'"
                found.append(invalid(place.child("operator"), value, detail))
        else:
            known = ("Equal", "Exists", "Lt", "Gt") if operator in {"Lt", "Gt"} else ("Equal", "Exists")
            found.append(not_supported(place.child("operator"), operator, known))
        if wanted_effect:
            found += effect(wanted_effect, place.child("effect"))
    return found


def effect(name: str, path: Path) -> Errors:
    if not name:
        return [required(path)]
    return [] if name in EFFECTS else [not_supported(path, name, EFFECTS)]


def spread_constraints(listed: Sequence[Obj], path: Path) -> Errors:
    found: Errors = []
    last = {(one.get("topologyKey"), one.get("whenUnsatisfiable")): index for index, one in enumerate(listed)}
    for index, one in enumerate(listed):
        place = path.index(index)
        key, action = one.get("topologyKey") or "", one.get("whenUnsatisfiable") or ""
        if (one.get("maxSkew") or 0) <= 0:
            found.append(invalid(place.child("maxSkew"), one.get("maxSkew") or 0, POSITIVE))
        if not key:
            found.append(required(place.child("topologyKey"), "can not be empty"))
        if action not in {"DoNotSchedule", "ScheduleAnyway"}:
            known = ("DoNotSchedule", "ScheduleAnyway")
            found.append(not_supported(place.child("whenUnsatisfiable"), action, known))
        if last[one.get("topologyKey"), one.get("whenUnsatisfiable")] != index:  # another one follows
            found.append(duplicate(place.child("{topologyKey, whenUnsatisfiable}"), f"{{{key}, {action}}}"))
        domains = one.get("minDomains")
        if domains is not None:
            if domains <= 0:
                found.append(invalid(place.child("minDomains"), domains, POSITIVE))
            if action != "DoNotSchedule":
                detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                found.append(invalid(place.child("minDomains"), domains, detail))
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if one.get(field) not in {None, "Honor", "Ignore"}:
                found.append(not_supported(place.child(field), one[field], ("Honor", "Ignore")))
        found += _selector_keys(one.get("matchLabelKeys") or (), (), one.get("labelSelector"), place)
        found += label_selector(one.get("labelSelector"), place.child("labelSelector"))
    return found

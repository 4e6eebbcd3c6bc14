"""Rules of RBAC objects."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, invalid, not_supported, required
from apimachinery.validation.metadata import label_selector

Obj = dict[str, Any]
Errors = list[FieldError]

GROUP = "rbac.authorization.k8s.io"
SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


def role(obj: Obj) -> Errors:
    return _rules(obj, namespaced=True)


def cluster_role(obj: Obj) -> Errors:
    found = _rules(obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        place = Path("aggregationRule", "clusterRoleSelectors")
        selectors = aggregation.get("clusterRoleSelectors") or ()
        if not selectors:
            detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            found.append(required(place, detail))
        for index, selector in enumerate(selectors):
            found += label_selector(selector, place.index(index))
    return found


def _rules(obj: Obj, *, namespaced: bool) -> Errors:
    found: Errors = []
    for index, rule in enumerate(obj.get("rules") or ()):
        place = Path("rules").index(index)
        if not rule.get("verbs"):
            found.append(required(place.child("verbs"), "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            where = place.child("nonResourceURLs")
            if namespaced:
                found.append(invalid(where, urls, "namespaced rules cannot apply to non-resource URLs"))
            if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                found.append(invalid(where, urls, detail))
            continue
        if not rule.get("apiGroups"):
            found.append(required(place.child("apiGroups"), "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            found.append(required(place.child("resources"), "resource rules must supply at least one resource"))
    return found


def role_binding(obj: Obj) -> Errors:
    return _binding(obj, ("Role", "ClusterRole"), namespaced=True)


def cluster_role_binding(obj: Obj) -> Errors:
    return _binding(obj, ("ClusterRole",), namespaced=False)


def _binding(obj: Obj, kinds: tuple[str, ...], *, namespaced: bool) -> Errors:
    reference, place = obj.get("roleRef") or {}, Path("roleRef")
    group, kind, name = (reference.get(field) or "" for field in ("apiGroup", "kind", "name"))
    found: Errors = []
    if group != GROUP:
        found.append(not_supported(place.child("apiGroup"), group, (GROUP,)))
    if kind not in kinds:
        found.append(not_supported(place.child("kind"), kind, kinds))
    if not name:
        found.append(required(place.child("name")))
    else:
        found += [invalid(place.child("name"), name, text) for text in names.path_segment(name)]
    for index, subject in enumerate(obj.get("subjects") or ()):
        found += _subject(subject, namespaced, Path("subjects").index(index))
    return found


def _subject(subject: Obj, namespaced: bool, path: Path) -> Errors:
    kind, name, group = (subject.get(field) or "" for field in ("kind", "name", "apiGroup"))
    found: Errors = [] if name else [required(path.child("name"))]
    if kind == "ServiceAccount":
        if name:
            found += [invalid(path.child("name"), name, text) for text in names.dns1123_subdomain(name)]
        if group:
            found.append(not_supported(path.child("apiGroup"), group, ("",)))
        if not namespaced and not subject.get("namespace"):
            found.append(required(path.child("namespace")))
    elif kind in {"User", "Group"}:
        if group != GROUP:
            found.append(not_supported(path.child("apiGroup"), group, (GROUP,)))
    else:
        found.append(not_supported(path.child("kind"), kind, SUBJECT_KINDS))
    return found


def binding_update(new: Obj, old: Obj) -> Errors:
    mine, theirs = new.get("roleRef") or {}, old.get("roleRef") or {}
    fields = ("apiGroup", "kind", "name")
    if all((mine.get(field) or "") == (theirs.get(field) or "") for field in fields):
        return []
    return [invalid(Path("roleRef"), mine, "cannot change roleRef")]

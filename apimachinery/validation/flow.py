"""Rules of API priority and fairness, and of APIServices."""

from __future__ import annotations

import math
from typing import Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, required

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
EXEMPT = "exempt"
LAST_PRECEDENCE = 10000
MOST_QUEUES = 10_000_000
HASH_BITS = 60
PERCENT = "must be between 0 and 100, inclusive"
COUNT = "must be a non-negative integer"
ROUND_TRIP = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "
_SUBJECTS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}


def schema(obj: Obj) -> Errors:
    """A FlowSchema."""
    spec = obj.get("spec") or {}
    place, precedence = SPEC.child("matchingPrecedence"), spec.get("matchingPrecedence") or 0
    found: Errors = []
    if precedence <= 0:
        found.append(invalid(place, precedence, "must be a positive value"))
    if precedence > LAST_PRECEDENCE:
        found.append(invalid(place, precedence, f"must not be greater than {LAST_PRECEDENCE}"))
    if precedence == 1 and (obj.get("metadata") or {}).get("name") != EXEMPT:
        found.append(invalid(place, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
    method, methods = spec.get("distinguisherMethod"), ("ByNamespace", "ByUser")
    if method is not None and method.get("type") not in methods:
        found.append(not_supported(SPEC.child("distinguisherMethod", "type"), method, methods))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    place = SPEC.child("priorityLevelConfiguration", "name")
    if level:
        found += [invalid(place, level, text) for text in names.dns1123_subdomain(level)]
    else:
        found.append(required(place, "must reference a priority level"))
    for index, rule in enumerate(spec.get("rules") or ()):
        found += _rule(rule, SPEC.child("rules").index(index))
    return found + status(obj, obj)


def status(new: Obj, old: Obj) -> Errors:
    found: Errors = []
    seen: set[str] = set()
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        place = Path("status", "conditions").index(index).child("type")
        kind = condition.get("type") or ""
        if kind in seen:
            found.append(duplicate(place, kind))
        seen.add(kind)
        if not kind:
            found.append(required(place))
    return found


def _rule(rule: Obj, path: Path) -> Errors:
    found: Errors = []
    for index, subject in enumerate(rule.get("subjects") or ()):
        found += _subject(subject, path.child("subjects").index(index))
    if not rule.get("subjects"):
        found.append(required(path.child("subjects"), "subjects must contain at least one value"))
    resources, others = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not others:
        detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
        found.append(required(path, detail))
    for index, one in enumerate(resources):
        found += _resource_rule(one, path.child("resourceRules").index(index))
    for index, one in enumerate(others):
        found += _other_rule(one, path.child("nonResourceRules").index(index))
    return found


def _subject(subject: Obj, path: Path) -> Errors:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        return [not_supported(path.child("kind"), kind, sorted(_SUBJECTS))]
    field = _SUBJECTS[kind]
    found = _who(subject.get(field), kind, field, path.child(field))
    for other, place in _SUBJECTS.items():
        if other != kind and subject.get(place) is not None:
            detail = f"{place} is forbidden when subject kind is not '{other}'"
            found.append(forbidden(path.child(place), detail))
    return found


def _who(subject: Obj | None, kind: str, field: str, path: Path) -> Errors:
    if subject is None:
        return [required(path, f"{field} is required when subject kind is '{kind}'")]
    name, namespace = subject.get("name") or "", subject.get("namespace") or ""
    found: Errors = [] if name else [required(path.child("name"))]
    if kind != "ServiceAccount":
        return found
    if name and name != "*":
        found += [invalid(path.child("name"), name, text) for text in names.dns1123_subdomain(name)]
    if not namespace:
        return [*found, required(path.child("namespace"), "must specify namespace for service account")]
    return found + [invalid(path.child("namespace"), namespace, text) for text in names.dns1123_label(namespace)]


def _verbs(listed: list[str], path: Path) -> Errors:
    if not listed:
        return [required(path, "verbs must contain at least one value")]
    if "*" in listed:
        return _alone(listed, "verbs", path)
    return [] if set(listed) <= set(VERBS) else [not_supported(path, listed, VERBS)]


def _alone(listed: list[str], called: str, path: Path) -> Errors:
    if len(listed) > 1 and "*" in listed:
        return [invalid(path, listed, f"if '*' is present, must not specify other {called}")]
    return []


def _other_rule(rule: Obj, path: Path) -> Errors:
    found = _verbs(rule.get("verbs") or [], path.child("verbs"))
    urls, place = rule.get("nonResourceURLs") or [], path.child("nonResourceURLs")
    if not urls:
        return [*found, required(place, "nonResourceURLs must contain at least one value")]
    if "*" in urls:
        return found + _alone(urls, "non-resource URLs", place)
    for index, url in enumerate(urls):
        wrong = _bad_url(url)
        if wrong:
            found.append(invalid(place.index(index), url, wrong))
    return found


def _bad_url(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if "*" in url and (url.count("*") > 1 or not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def _resource_rule(rule: Obj, path: Path) -> Errors:
    found = _verbs(rule.get("verbs") or [], path.child("verbs"))
    for field, one, several in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        listed = rule.get(field) or []
        if not listed:
            found.append(required(path.child(field), f"resource rules must supply at least one {one}"))
        found += _alone(listed, several, path.child(field))
    namespaces, place = rule.get("namespaces") or [], path.child("namespaces")
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        found.append(required(place, detail))
    elif "*" in namespaces:
        found += _alone(namespaces, "namespaces", place)
    else:
        for index, namespace in enumerate(namespaces):
            wrong = names.dns1123_label(namespace)
            found += [invalid(place.index(index), namespace, _NAMESPACE + text) for text in wrong]
    return found


def level(obj: Obj) -> Errors:
    """A PriorityLevelConfiguration."""
    meta, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    kind = spec.get("type") or ""
    limited, exempt = spec.get("limited"), spec.get("exempt")
    found: Errors = []
    if ROUND_TRIP in (meta.get("annotations") or {}):
        found.append(forbidden(Path("metadata", "annotations"), f"annotation '{ROUND_TRIP}' is forbidden"))
    if (meta.get("name") == EXEMPT) != (kind == "Exempt"):
        found.append(invalid(SPEC.child("type"), kind, "must be 'Exempt' if and only if `name` is 'exempt'"))
    match kind:
        case "Exempt":
            if limited is not None:
                found.append(forbidden(SPEC.child("limited"), "must be nil if the type is not Limited"))
            if exempt is not None:
                found += _shares(exempt, SPEC.child("exempt")) + _lendable(exempt, SPEC.child("exempt"))
        case "Limited":
            if exempt is not None:
                found.append(forbidden(SPEC.child("exempt"), "must be nil if the type is Limited"))
            if limited is None:
                found.append(required(SPEC.child("limited"), "must not be empty when type is Limited"))
            else:
                found += _limited(limited, SPEC.child("limited"))
        case _:
            found.append(not_supported(SPEC.child("type"), kind, ("Exempt", "Limited")))
    return found + status(obj, obj)


def _shares(table: Obj, path: Path) -> Errors:
    shares = table.get("nominalConcurrencyShares") or 0
    return [invalid(path.child("nominalConcurrencyShares"), shares, COUNT)] if shares < 0 else []


def _lendable(table: Obj, path: Path) -> Errors:
    percent = table.get("lendablePercent")
    if percent is None or 0 <= percent <= 100:
        return []
    return [invalid(path.child("lendablePercent"), percent, PERCENT)]


def _limited(limited: Obj, path: Path) -> Errors:
    found = _shares(limited, path)
    response, place = limited.get("limitResponse") or {}, path.child("limitResponse")
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        if queuing is not None:
            detail = "must be nil if limited.limitResponse.type is not Limited"
            found.append(forbidden(place.child("queuing"), detail))
    elif kind != "Queue":
        found.append(not_supported(place.child("type"), kind, ("Queue", "Reject")))
    elif queuing is None:
        detail = "must not be empty if limited.limitResponse.type is Limited"
        found.append(required(place.child("queuing"), detail))
    else:
        found += _queuing(queuing, place.child("queuing"))
    found += _lendable(limited, path)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        detail = "if specified, must be a non-negative integer"
        found.append(invalid(path.child("borrowingLimitPercent"), borrowing, detail))
    return found


def _queuing(queuing: Obj, path: Path) -> Errors:
    length, queues = queuing.get("queueLengthLimit") or 0, queuing.get("queues") or 0
    hand, place = queuing.get("handSize") or 0, path.child("handSize")
    found: Errors = []
    if length <= 0:
        found.append(invalid(path.child("queueLengthLimit"), length, "must be positive"))
    if queues <= 0:
        found.append(invalid(path.child("queues"), queues, "must be positive"))
    elif queues > MOST_QUEUES:
        found.append(invalid(path.child("queues"), queues, f"must not be greater than {MOST_QUEUES}"))
    if hand <= 0:
        found.append(invalid(place, hand, "must be positive"))
    elif hand > queues:
        found.append(invalid(place, hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > HASH_BITS:
        detail = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than"
        found.append(invalid(place, hand, f"{detail} {HASH_BITS}"))
    return found


def api_service(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    found = _api_service_name((obj.get("metadata") or {}).get("name") or "", f"{version}.{group}")
    if not group and version != "v1":
        detail = "only v1 may have an empty group and it better be legacy kube"
        found.append(required(SPEC.child("group"), detail))
    if group:
        found += [invalid(SPEC.child("group"), group, text) for text in names.dns1123_subdomain(group)]
    found += [invalid(SPEC.child("version"), version, text) for text in names.dns1035_label(version)]
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            found.append(invalid(SPEC.child(field), value, f"must be positive and less than {most}"))
    service, bundle, insecure = spec.get("service"), spec.get("caBundle") or "", spec.get("insecureSkipTLSVerify")
    if service is None:
        if bundle:
            size = len(bundle) * 3 // 4 - bundle[-2:].count("=")
            detail = "local APIServices may not have a caBundle"
            found.append(invalid(SPEC.child("caBundle"), f"{size} bytes", detail))
        if insecure:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            found.append(invalid(SPEC.child("insecureSkipTLSVerify"), True, detail))
        return found
    found += [required(SPEC.child("service", field)) for field in ("namespace", "name") if not service.get(field)]
    port = service.get("port") or 0
    wrong = names.port_number(port)
    if wrong:
        found.append(invalid(SPEC.child("service", "port"), port, f"port is not valid: {', '.join(wrong)}"))
    if insecure and bundle:
        detail = "may not be true if caBundle is present"
        found.append(invalid(SPEC.child("insecureSkipTLSVerify"), True, detail))
    return found


def _api_service_name(name: str, wanted: str) -> Errors:
    # Names which cannot be part of a path are refused with the other rules for metadata.
    if not name or names.path_segment(name) or name == wanted:
        return []
    return [invalid(Path("metadata", "name"), name, f'must be `spec.version+"."+spec.group`: "{wanted}"')]


def api_service_status(new: Obj, old: Obj) -> Errors:
    known = ("True", "False", "Unknown")
    found: Errors = []
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        if condition.get("status") not in known:
            place = Path("status", "conditions").index(index).child("status")
            found.append(not_supported(place, condition.get("status") or "", known))
    return found

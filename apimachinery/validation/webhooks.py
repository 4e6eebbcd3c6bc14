"""Rules of webhook configurations, and of what admission policies share with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, invalid, not_supported, required, too_many
from apimachinery.validation.metadata import label_selector

Obj = dict[str, Any]
Errors = list[FieldError]

WEBHOOKS = Path("webhooks")
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
REVIEW_VERSIONS = ("v1", "v1beta1")
NO_EFFECTS = ("None", "NoneOnDryRun")
ANY_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
MOST_CONDITIONS = 64
_FORM = "; desired format: https://host[/path]"


class _Tolerance:
    """What an update may keep because the stored object has it already."""

    def __init__(self, old: Sequence[Obj] | None) -> None:
        stored = old or ()
        called = [hook.get("name") or "" for hook in stored]
        self.conditions = None if old is None else [hook.get("matchConditions") or [] for hook in stored]
        self.effects = NO_EFFECTS if all(hook.get("sideEffects") in NO_EFFECTS for hook in stored) else ANY_EFFECTS
        self.versions = any(
            hook.get("admissionReviewVersions") and not set(hook["admissionReviewVersions"]) & set(REVIEW_VERSIONS)
            for hook in stored
        )
        self.names = len(set(called)) < len(called)
        self.labels = any(
            label_selector(hook.get(field), WEBHOOKS)
            for hook in stored
            for field in ("namespaceSelector", "objectSelector")
        )


def create(obj: Obj) -> Errors:
    return _configuration(obj.get("webhooks") or [], _Tolerance(None))


def update(new: Obj, old: Obj) -> Errors:
    return _configuration(new.get("webhooks") or [], _Tolerance(old.get("webhooks") or []))


def _configuration(hooks: list[Obj], tolerance: _Tolerance) -> Errors:
    unchanged = tolerance.conditions == [hook.get("matchConditions") or [] for hook in hooks]
    found: Errors = []
    seen: set[str] = set()
    for index, hook in enumerate(hooks):
        place = WEBHOOKS.index(index)
        found += _hook(hook, tolerance, place)
        if not unchanged:
            found += match_conditions(hook.get("matchConditions") or [], place.child("matchConditions"))
        listed = hook.get("admissionReviewVersions") or []
        found += _review_versions(listed, tolerance, place.child("admissionReviewVersions"))
        name = hook.get("name")
        if name and not tolerance.names:
            if name in seen:
                found.append(duplicate(place.child("name"), name))
            seen.add(name)
    return found


def _choice(hook: Obj, field: str, known: Sequence[str], path: Path) -> Errors:
    value = hook.get(field)
    return [not_supported(path.child(field), value, known)] if value is not None and value not in known else []


def _hook(hook: Obj, tolerance: _Tolerance, path: Path) -> Errors:
    found = fully_qualified_name(hook.get("name") or "", path.child("name"))
    for index, rule in enumerate(hook.get("rules") or ()):
        found += rule_with_operations(rule, path.child("rules").index(index))
    found += _choice(hook, "failurePolicy", FAILURE_POLICIES, path)
    found += _choice(hook, "matchPolicy", MATCH_POLICIES, path)
    if hook.get("sideEffects") is None:
        found.append(required(path.child("sideEffects"), f"must specify one of {', '.join(tolerance.effects)}"))
    found += _choice(hook, "sideEffects", tolerance.effects, path)
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        found.append(invalid(path.child("timeoutSeconds"), timeout, detail))
    for field in ("namespaceSelector", "objectSelector"):
        found += label_selector(hook.get(field), path.child(field), any_value=tolerance.labels)
    found += _choice(hook, "reinvocationPolicy", ("IfNeeded", "Never"), path)
    return found + _client(hook.get("clientConfig") or {}, path.child("clientConfig"))


def _client(config: Obj, path: Path) -> Errors:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if url is not None:
        return webhook_url(url, path.child("url"))
    # Upstream mixes up the two names here: a missing namespace is asked for first, and as the other field.
    swapped = {**(service or {}), "name": (service or {}).get("namespace"), "namespace": (service or {}).get("name")}
    return webhook_service(swapped, path.child("service"))


def fully_qualified_name(name: str, path: Path) -> Errors:
    if not name:
        return [required(path)]
    wrong = names.dns1123_subdomain(name)
    if wrong:
        return [invalid(path, name, ",".join(wrong))]
    if name.count(".") < 2:
        return [invalid(path, name, "should be a domain with at least three segments separated by dots")]
    return []


def webhook_url(url: str, path: Path) -> Errors:
    try:
        parts = urlsplit(url)
    except ValueError as wrong:
        return [required(path, f"url must be a valid URL: {wrong}{_FORM}")]
    found: Errors = []
    if parts.scheme != "https":
        found.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    user, at, host = parts.netloc.rpartition("@")
    if not host:
        found.append(invalid(path, host, f"host must be specified{_FORM}"))
    if at:
        found.append(invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def webhook_service(service: Obj, path: Path) -> Errors:
    found: Errors = [required(path.child(field)) for field in ("name", "namespace") if not service.get(field)]
    port = service.get("port") or 0
    wrong = names.port_number(port)
    if wrong:
        found.append(invalid(path.child("port"), port, f"port is not valid: {', '.join(wrong)}"))
    url = service.get("path")
    return found + (_service_path(url, path.child("path")) if url and url != "/" else [])


def _service_path(url: str, path: Path) -> Errors:
    if url == "//":
        return [invalid(path, url, "segment[0] may not be empty")]
    found: Errors = [] if url.startswith("/") else [invalid(path, url, "must start with a '/'")]
    for index, step in enumerate(url[1:].removesuffix("/").split("/")):
        if not step:
            found.append(invalid(path, url, f"segment[{index}] may not be empty"))
        else:
            found += [invalid(path, url, f"segment[{index}]: {text}") for text in names.dns1123_subdomain(step)]
    return found


def _review_versions(listed: list[str], tolerance: _Tolerance, path: Path) -> Errors:
    known = ", ".join(REVIEW_VERSIONS)
    if not listed:
        return [required(path, f"must specify one of {known}")]
    found: Errors = []
    for index, version in enumerate(listed):
        if version in listed[:index]:
            found.append(invalid(path.index(index), version, "duplicate version"))
            continue
        found += [invalid(path.index(index), version, text) for text in names.dns1035_label(version)]
    if not tolerance.versions and not set(listed) & set(REVIEW_VERSIONS):
        found.append(invalid(path, listed, f"must include at least one of {known}"))
    return found


def match_conditions(listed: list[Obj], path: Path, *, params: bool = False) -> Errors:
    """Their expressions have to be of type bool; with `params` they may speak of those."""
    found: Errors = [too_many(path, len(listed), MOST_CONDITIONS)] if len(listed) > MOST_CONDITIONS else []
    seen: set[str] = set()
    for index, condition in enumerate(listed):
        place = path.index(index)
        name = condition.get("name") or ""
        text = (condition.get("expression") or "").strip()
        if not text:
            found.append(required(place.child("expression")))
        else:
            # Few configurations have conditions: the language is loaded for those that do.
            from apimachinery.validation.expressions import condition_complaint

            wrong = condition_complaint(text, params=params)
            found += [invalid(place.child("expression"), text, wrong)] if wrong else []
        if not name:
            found.append(required(place.child("name")))
            continue
        found += [invalid(place.child("name"), name, text) for text in names.qualified_name(name)]
        if name in seen:
            found.append(duplicate(place.child("name"), name))
        seen.add(name)
    return found


def rule_with_operations(rule: Obj, path: Path) -> Errors:
    operations, place = rule.get("operations") or [], path.child("operations")
    found: Errors = [] if operations else [required(place)]
    found += _alone(operations, "operations", place)
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            found.append(not_supported(place.index(index), operation, OPERATIONS))
    return found + _rule(rule, path)


def _alone(listed: list[str], called: str, path: Path) -> Errors:
    if len(listed) > 1 and "*" in listed:
        return [invalid(path, listed, f"if '*' is present, must not specify other {called}")]
    return []


def _rule(rule: Obj, path: Path) -> Errors:
    groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
    found: Errors = [] if groups else [required(path.child("apiGroups"))]
    found += _alone(groups, "API groups", path.child("apiGroups"))
    if not versions:
        found.append(required(path.child("apiVersions")))
    found += _alone(versions, "API versions", path.child("apiVersions"))
    found += [required(path.child("apiVersions").index(i)) for i, version in enumerate(versions) if not version]
    found += _resources(rule.get("resources") or [], path.child("resources"))
    return found + _choice(rule, "scope", SCOPES, path)


def _resources(listed: list[str], path: Path) -> Errors:
    found: Errors = [] if listed else [required(path)]
    whole: set[str] = set()
    everywhere: set[str] = set()
    plain = False
    for index, one in enumerate(listed):
        place = path.index(index)
        if not one:
            found.append(required(place))
            continue
        resource, slash, sub = one.partition("/")
        if not slash:
            plain = one != "*"
            continue
        if resource in whole:
            found.append(invalid(place, one, f"if '{resource}/*' is present, must not specify {one}"))
        if sub in everywhere:
            found.append(invalid(place, one, f"if '*/{sub}' is present, must not specify {one}"))
        if sub == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(sub)
    if len(listed) > 1 and "*/*" in listed:
        found.append(invalid(path, listed, "if '*/*' is present, must not specify other resources"))
    if "*" in listed and plain:
        detail = "if '*' is present, must not specify other resources without subresources"
        found.append(invalid(path, listed, detail))
    return found

"""Rules of admission policies, validating and mutating ones, and of their bindings.

Expressions are compiled as they would be to evaluate them; the fields of objects are not known then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from apimachinery import names
from apimachinery.fields import FieldError, Path, duplicate, forbidden, invalid, not_supported, required
from apimachinery.strategies.equality import same
from apimachinery.validation.metadata import conditions, label_selector
from apimachinery.validation.webhooks import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    match_conditions,
    rule_with_operations,
)

if TYPE_CHECKING:
    from apimachinery.validation.expressions import PolicyExpressions

Obj = dict[str, Any]
Errors = list[FieldError]

SPEC = Path("spec")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
ACTIONS = ("Audit", "Deny", "Warn")
MUTABLE = ("CREATE", "UPDATE")
REINVOCATIONS = ("IfNeeded", "Never")
PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")
MOST_AUDIT_ANNOTATIONS = 20
LONGEST_VALUE_EXPRESSION = 5 * 1024
_NOTHING = "validations or auditAnnotations must contain at least one item"
_NO_EXPRESSION = "expression is not specified"
_EITHER = "name and selector are mutually exclusive"
_BOTH = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response "
    "and headers serves no purpose)"
)
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    (
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip


def policy(obj: Obj) -> Errors:
    return _policy(obj, None)


def policy_update(new: Obj, old: Obj) -> Errors:
    return _policy(new, old)


def policy_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    place = Path("status", "typeChecking", "expressionWarnings")
    found: Errors = []
    for index, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
        found += [
            required(place.index(index).child(field))
            for field in ("warning", "fieldRef")
            if not (warning.get(field) or "").strip()
        ]
    return found + conditions(status.get("conditions") or (), Path("status", "conditions"))


def _policy(obj: Obj, old: Obj | None) -> Errors:
    spec = obj.get("spec") or {}
    expressions = _expressions(spec)
    found = _common(spec, old, expressions)
    return found + _decisions(spec, (obj.get("metadata") or {}).get("name") or "", expressions)


def _expressions(spec: Obj) -> PolicyExpressions:
    # Most clusters have no policies: the language is loaded for those that do.
    from apimachinery.validation.expressions import PolicyExpressions

    return PolicyExpressions(spec)


def _common(spec: Obj, old: Obj | None, expressions: PolicyExpressions, *, mutating: bool = False) -> Errors:
    """What both kinds of policies have."""
    found = _required_choice(spec, "failurePolicy", FAILURE_POLICIES, SPEC)
    if spec.get("paramKind") is not None:
        found += _param_kind(spec["paramKind"], SPEC.child("paramKind"))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        found.append(required(SPEC.child("matchConstraints")))
    else:
        found += _match_resources(constraints, SPEC.child("matchConstraints"))
        if not constraints.get("resourceRules"):
            found.append(required(SPEC.child("matchConstraints", "resourceRules")))
        if mutating:
            found += _mutable(constraints)
    before = (old or {}).get("spec") or {}
    unchanged = old is not None and all(
        same(spec.get(field), before.get(field)) for field in ("paramKind", "matchConditions")
    )
    if not unchanged:
        params = spec.get("paramKind") is not None
        found += match_conditions(spec.get("matchConditions") or [], SPEC.child("matchConditions"), params=params)
    for index, variable in enumerate(spec.get("variables") or ()):
        found += _variable(variable, SPEC.child("variables").index(index), expressions)
    return found


def _mutable(constraints: Obj) -> Errors:
    """Only requests that bring an object can be changed."""
    place = SPEC.child("matchConstraints", "resourceRules", "operations")
    return [
        not_supported(place, operation, MUTABLE)
        for rule in constraints.get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        if operation not in MUTABLE
    ]


def mutating_policy(obj: Obj) -> Errors:
    return _mutating(obj, None)


def mutating_policy_update(new: Obj, old: Obj) -> Errors:
    return _mutating(new, old)


def _mutating(obj: Obj, old: Obj | None) -> Errors:
    spec = obj.get("spec") or {}
    expressions = _expressions(spec)
    found = _common(spec, old, expressions, mutating=True)
    mutations, place = spec.get("mutations") or [], SPEC.child("mutations")
    if not mutations:
        found.append(required(place, "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        found += _mutation(mutation, place.index(index), expressions)
    policy, place = spec.get("reinvocationPolicy") or "", SPEC.child("reinvocationPolicy")
    if not policy:
        return [*found, required(place)]
    return found if policy in REINVOCATIONS else [*found, not_supported(place, policy, REINVOCATIONS)]


def _mutation(mutation: Obj, path: Path, expressions: PolicyExpressions) -> Errors:
    kind = mutation.get("patchType") or ""
    if not kind:
        return [required(path.child("patchType"))]
    if kind not in PATCH_TYPES:
        return [not_supported(path.child("patchType"), kind, PATCH_TYPES)]
    own, other = ("jsonPatch", "applyConfiguration") if kind == "JSONPatch" else ("applyConfiguration", "jsonPatch")
    if mutation.get(own) is None:
        found = [required(path.child(own), f"must be specified when patchType is {kind}")]
    else:
        text, place = mutation[own].get("expression") or "", path.child(own, "expression")
        found = expressions.check(kind, text, place)
    if mutation.get(other) is not None:
        detail = f"must not be specified when patchType is {kind}"
        found.append(invalid(path.child(other), f"{{{other}}}", detail))
    return found


def _decisions(spec: Obj, name: str, expressions: PolicyExpressions) -> Errors:
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        return [required(SPEC.child(field), _NOTHING) for field in ("validations", "auditAnnotations")]
    found: Errors = []
    for index, validation in enumerate(validations):
        found += _validation(validation, SPEC.child("validations").index(index), expressions)
    place = SPEC.child("auditAnnotations")
    if len(annotations) > MOST_AUDIT_ANNOTATIONS:
        detail = f"must not have more than {MOST_AUDIT_ANNOTATIONS} auditAnnotations"
        found.append(invalid(place, annotations, detail))
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        key = annotation.get("key") or ""
        found += _audit_annotation(annotation, name, place.index(index), expressions)
        if key in seen:
            found.append(duplicate(place.index(index).child("key"), key))
        seen.add(key)
    return found


def _required_choice(table: Obj, field: str, known: tuple[str, ...], path: Path) -> Errors:
    value = table.get(field)
    if value is None:
        return [required(path.child(field))]
    return [] if value in known else [not_supported(path.child(field), value, known)]


def _param_kind(param: Obj, path: Path) -> Errors:
    found: Errors = []
    version, kind = param.get("apiVersion") or "", param.get("kind") or ""
    place = path.child("apiVersion")
    if not version:
        found.append(required(place))
    elif version.count("/") > 1:
        found.append(invalid(place, version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, number = version.rpartition("/")
        wrong = names.dns1123_subdomain(group) if group else []
        if wrong:
            found.append(invalid(place, group, ",".join(wrong)))
        if not number:
            found.append(invalid(place, version, "version must be specified"))
        else:
            wrong = names.dns1035_label(number)
            if wrong:
                found.append(invalid(place, number, ",".join(wrong)))
    if not kind:
        return [*found, required(path.child("kind"))]
    wrong = names.dns1035_label(kind.lower())
    if wrong:
        detail = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        found.append(invalid(path.child("kind"), kind, detail))
    return found


def _match_resources(match: Obj, path: Path) -> Errors:
    found = _required_choice(match, "matchPolicy", MATCH_POLICIES, path)
    for field in ("namespaceSelector", "objectSelector"):
        if match.get(field) is None:
            found.append(required(path.child(field)))
        else:
            found += label_selector(match[field], path.child(field))
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(field) or ()):
            found += _named_rule(rule, path.child(field).index(index))
    return found


def _named_rule(rule: Obj, path: Path) -> Errors:
    found: Errors = []
    listed, place = rule.get("resourceNames") or [], path.child("resourceNames")
    for index, name in enumerate(listed):
        found += [invalid(place.index(index), name, text) for text in names.path_segment(name)]
        if name in listed[:index]:
            found.append(duplicate(place.index(index), name))
    return found + rule_with_operations(rule, path)


def _variable(variable: Obj, path: Path, expressions: PolicyExpressions) -> Errors:
    name = variable.get("name") or ""
    found: Errors = []
    if not name.strip():
        found.append(required(path.child("name"), "name is not specified"))
    elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
        found.append(invalid(path.child("name"), name, "must be a valid CEL identifier"))
    text = variable.get("expression") or ""
    return found + expressions.variable(name, text, path.child("expression"), _NO_EXPRESSION)


def _validation(validation: Obj, path: Path, expressions: PolicyExpressions) -> Errors:
    text = validation.get("expression") or ""
    found = expressions.check("validation", text, path.child("expression"), _NO_EXPRESSION)
    for field in ("messageExpression", "message"):
        text = validation.get(field) or ""
        if text and not text.strip():
            found.append(invalid(path.child(field), text, "must be non-empty if specified"))
        elif field == "message" and re.search(r"[\n\r]", text.strip()):
            found.append(invalid(path.child(field), text, "must not contain line breaks"))
        elif field == "messageExpression" and text:
            found += expressions.check("message", text, path.child(field))
    reason = validation.get("reason")
    if reason is not None and reason not in REASONS:
        found.append(not_supported(path.child("reason"), reason, REASONS))
    return found


def _audit_annotation(annotation: Obj, name: str, path: Path, expressions: PolicyExpressions) -> Errors:
    key = annotation.get("key") or ""
    full = f"{name}/{key}"
    if name:
        found: Errors = [invalid(path.child("key"), full, text) for text in names.qualified_name(full)]
    else:
        found = [invalid(path.child("key"), key, "requires metadata.name be non-empty")]
    text = annotation.get("valueExpression") or ""
    place = path.child("valueExpression")
    if len(text.strip().encode()) > LONGEST_VALUE_EXPRESSION:
        return [*found, required(place, f"must not exceed {LONGEST_VALUE_EXPRESSION} bytes in length")]
    return found + expressions.check("annotation", text, place, "valueExpression is not specified")


def binding(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    return _bound(spec) + _actions(spec.get("validationActions") or [], SPEC.child("validationActions"))


def mutating_binding(obj: Obj) -> Errors:
    return _bound(obj.get("spec") or {})


def _bound(spec: Obj) -> Errors:
    name = spec.get("policyName") or ""
    place = SPEC.child("policyName")
    found: Errors = (
        [invalid(place, name, text) for text in names.dns1123_subdomain(name)] if name else [required(place)]
    )
    if spec.get("paramRef") is not None:
        found += _param_reference(spec["paramRef"], SPEC.child("paramRef"))
    if spec.get("matchResources") is not None:
        found += _match_resources(spec["matchResources"], SPEC.child("matchResources"))
    return found


def _actions(listed: list[str], path: Path) -> Errors:
    found: Errors = []
    for index, action in enumerate(listed):
        if action not in ACTIONS:
            found.append(not_supported(path.index(index), action, ACTIONS))
        if action in listed[:index]:
            found.append(duplicate(path.index(index), action))
    if "Deny" in listed and "Warn" in listed:
        found.append(invalid(path, listed, _BOTH))
    return found if listed else [required(path, "at least one validation action is required")]


def _param_reference(reference: Obj, path: Path) -> Errors:
    name, selector = reference.get("name") or "", reference.get("selector")
    found: Errors = []
    if name:
        found += [invalid(path.child("name"), name, text) for text in names.path_segment(name)]
        if selector is not None:
            found.append(forbidden(path.child("name"), _EITHER))
    if selector is not None:
        found += label_selector(selector, path.child("selector"))
        if name:
            found.append(forbidden(path.child("selector"), _EITHER))
    if not name and selector is None:
        found.append(required(path, "one of name or selector must be specified"))
    action, place = reference.get("parameterNotFoundAction") or "", path.child("parameterNotFoundAction")
    if not action:
        found.append(required(place))
    elif action not in {"Deny", "Allow"}:
        found.append(not_supported(place, action, ("Deny", "Allow")))
    return found

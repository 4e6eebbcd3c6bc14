"""Audit policies (`audit.k8s.io/v1`): the first rule that fits a request says how much of it is written down.

A pure function of who asks for what; nothing of an answer is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import yaml

from apimachinery import names
from apimachinery.fields import FieldError, Path, invalid, not_supported, required
from apiserver.ports import Attributes, User

log = logging.getLogger(__name__)

JSON = dict[str, Any]
VERSION = "audit.k8s.io/v1"
RECEIVED, STARTED, COMPLETE, PANIC = STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")


class Level(IntEnum):
    """Each has what those before it have."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    """With the body of the request."""
    REQUEST_RESPONSE = 3
    """With that of the answer, too."""


LEVELS = {"None": Level.NONE, "Metadata": Level.METADATA, "Request": Level.REQUEST}
LEVELS["RequestResponse"] = Level.REQUEST_RESPONSE
LEVEL_NAMES = {level: name for name, level in LEVELS.items()}


@dataclass(frozen=True, slots=True)
class Decision:
    """What is written of a request. `omitted` are stages."""

    level: Level = Level.NONE
    omitted: frozenset[str] = frozenset()
    omits_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class GroupResources:
    """Resources of one group, `*` for all; `pods`, `pods/log`, `pods/*`, `*/scale` and `*` name them."""

    group: str
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def matches(self, asked: Attributes) -> bool:
        if self.group not in ("*", asked.group):
            return False
        if not self.resources:
            return True
        if self.names and asked.name not in self.names:
            return False
        return any(_is_resource(pattern, asked.resource, asked.subresource) for pattern in self.resources)


def _is_resource(pattern: str, resource: str, subresource: str) -> bool:
    if pattern in ("*", f"{resource}/{subresource}" if subresource else resource):
        return True
    first, slash, second = pattern.rpartition("/")
    return bool(slash) and (
        (first == "*" and subresource != "" and second == subresource) or pattern == f"{resource}/*"
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """Empty fields are about everything; the others must all fit."""

    decision: Decision
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: tuple[GroupResources, ...] = ()
    paths: tuple[str, ...] = ()

    def matches(self, user: User | None, asked: Attributes) -> bool:
        """Without a user (nobody could tell who asks) rules about users and groups do not fit."""
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and asked.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not asked.resource or (self.namespaces and asked.namespace not in self.namespaces):
                return False
            return not self.resources or any(one.matches(asked) for one in self.resources)
        if self.paths:
            return not asked.resource and any(_is_path(spec, asked.path) for spec in self.paths)
        return True


def _is_path(spec: str, path: str) -> bool:
    return spec in ("*", path) or (spec.endswith("*") and path.startswith(spec.rstrip("*")))


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[Rule, ...]
    otherwise: Decision

    def decide(self, user: User | None, asked: Attributes) -> Decision:
        """A request that no rule fits is not written."""
        for rule in self.rules:
            if rule.matches(user, asked):
                return rule.decision
        return self.otherwise


def load(text: str) -> Policy:
    """Of a policy file, YAML or JSON. Raises ValueError with everything that is wrong in it."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"failed decoding: {error}") from None
    if not isinstance(given, dict):
        raise ValueError("failed decoding: the file holds no object")
    if (given.get("apiVersion"), given.get("kind")) != (VERSION, "Policy"):
        found = f"{given.get('apiVersion') or ''}, Kind={given.get('kind') or ''}"
        raise ValueError(f"unknown group version field {found} in policy: it must be {VERSION}, Kind=Policy")
    _check_shape(given)
    rules = given.get("rules") or []
    problems = [str(one) for one in _problems(given, rules)]
    if problems:
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    if not rules:
        raise ValueError("loaded illegal policy with 0 rules")
    everywhere = frozenset(given.get("omitStages") or ())
    omits = bool(given.get("omitManagedFields"))
    return Policy(tuple(_rule(rule, everywhere, omits) for rule in rules), Decision(Level.NONE, everywhere, omits))


def _rule(rule: JSON, omitted: frozenset[str], omits_managed_fields: bool) -> Rule:
    own = rule.get("omitManagedFields")
    decision = Decision(
        LEVELS[rule["level"]],
        omitted | frozenset(rule.get("omitStages") or ()),
        omits_managed_fields if own is None else own,
    )
    resources = tuple(
        GroupResources(one.get("group") or "", tuple(one.get("resources") or ()), tuple(one.get("resourceNames") or ()))
        for one in rule.get("resources") or ()
    )
    users, groups, verbs, namespaces = (
        frozenset(rule.get(name) or ()) for name in ("users", "userGroups", "verbs", "namespaces")
    )
    return Rule(decision, users, groups, verbs, namespaces, resources, tuple(rule.get("nonResourceURLs") or ()))


# -- What may be wrong in a file

_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
_RULE_FIELDS = frozenset((*_LISTS, "level", "resources", "omitManagedFields"))
_GROUP_LISTS = ("resources", "resourceNames")
_GROUP_FIELDS = frozenset((*_GROUP_LISTS, "group"))
_POLICY_FIELDS = frozenset(("apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"))


def _check_shape(given: JSON) -> None:
    """Raises ValueError for values of another type; fields that nobody knows are warned of, as upstream does."""
    _fields(given, "policy", _POLICY_FIELDS, ("omitStages",))
    for index, rule in enumerate(_list(given, "policy", "rules")):
        place = f"rules[{index}]"
        _fields(rule, place, _RULE_FIELDS, _LISTS)
        if not isinstance(rule.get("level") or "", str):
            raise ValueError(f"failed decoding: {place}.level is no string")
        for number, group in enumerate(_list(rule, place, "resources")):
            within = f"{place}.resources[{number}]"
            _fields(group, within, _GROUP_FIELDS, _GROUP_LISTS)
            if not isinstance(group.get("group") or "", str):
                raise ValueError(f"failed decoding: {within}.group is no string")


def _fields(given: Any, place: str, known: frozenset[str], lists: Iterable[str]) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"failed decoding: {place} is no object")
    if unknown := sorted(str(name) for name in given if name not in known):
        log.warning("audit policy: unknown fields in %s are ignored: %s", place, ", ".join(unknown))
    for name in lists:
        if not all(isinstance(one, str) for one in _list(given, place, name)):
            raise ValueError(f"failed decoding: {place}.{name} is no list of strings")
    if not isinstance(given.get("omitManagedFields"), bool | None):
        raise ValueError(f"failed decoding: {place}.omitManagedFields is no boolean")


def _list(given: JSON, place: str, name: str) -> Sequence[Any]:
    found = given.get(name)
    if not isinstance(found, list | None):
        raise ValueError(f"failed decoding: {place}.{name} is no list")
    return found or ()


def _problems(given: JSON, rules: Sequence[JSON]) -> Iterable[FieldError]:
    yield from _stages(given, Path("omitStages"))
    for index, rule in enumerate(rules):
        place = Path("rules").index(index)
        level = rule.get("level") or ""
        if not level:
            yield required(place.child("level"), "")
        elif level not in LEVELS:
            yield not_supported(place.child("level"), level, list(LEVELS))
        urls = rule.get("nonResourceURLs") or []
        yield from _urls(urls, place.child("nonResourceURLs"))
        yield from _resources(rule, place.child("resources"))
        yield from _stages(rule, place.child("omitStages"))
        if urls and (rule.get("resources") or rule.get("namespaces")):
            both = "rules cannot apply to both regular resources and non-resource URLs"
            yield invalid(place.child("nonResourceURLs"), urls, both)


def _stages(given: JSON, place: Path) -> Iterable[FieldError]:
    for index, stage in enumerate(given.get("omitStages") or ()):
        if stage not in STAGES:
            yield invalid(place.index(index), stage, f"allowed stages are {','.join(STAGES)}")


def _urls(urls: Iterable[str], place: Path) -> Iterable[FieldError]:
    for index, url in enumerate(urls):
        if url == "*":
            continue
        if not url.startswith("/"):
            yield invalid(place.index(index), url, "non-resource URL rules must begin with a '/' character")
        if "*" in url[:-1]:
            last = "non-resource URL wildcards '*' must be the final character of the rule"
            yield invalid(place.index(index), url, last)


def _resources(rule: JSON, place: Path) -> Iterable[FieldError]:
    for one in rule.get("resources") or ():
        group = one.get("group") or ""
        if group not in ("", "*") and (wrong := names.dns1123_subdomain(group)):
            yield invalid(place.child("group"), group, ",".join(wrong))
        if one.get("resourceNames") and not one.get("resources"):
            detail = "using resourceNames requires at least one resource"
            yield invalid(place.child("resourceNames"), one["resourceNames"], detail)

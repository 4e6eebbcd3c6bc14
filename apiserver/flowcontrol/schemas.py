"""FlowSchemas: which priority level a request belongs to, and which flow within it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apiserver.ports import User

JSON = dict[str, Any]
ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Digest:
    """All of a request that FlowSchemas look at; `resource` is empty for plain paths."""

    user: User
    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class FlowSchema:
    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    """ByUser, ByNamespace or empty: one flow for all."""
    rules: Sequence[Mapping[str, Any]]

    def matches(self, digest: Digest) -> bool:
        return any(_rule(rule, digest) for rule in self.rules)

    def flow(self, digest: Digest) -> str:
        """Requests with equal texts wait in line with each other, those with others beside them."""
        if self.distinguisher == "ByUser":
            return digest.user.name
        return digest.namespace if self.distinguisher == "ByNamespace" else ""


def compiled(obj: JSON) -> FlowSchema:
    spec = obj["spec"]
    return FlowSchema(
        obj["metadata"]["name"],
        obj["metadata"].get("uid") or "",
        spec["priorityLevelConfiguration"]["name"],
        spec.get("matchingPrecedence") or 0,
        (spec.get("distinguisherMethod") or {}).get("type") or "",
        tuple(spec.get("rules") or ()),
    )


def in_order(schemas: Sequence[FlowSchema]) -> list[FlowSchema]:
    """The first that matches decides."""
    return sorted(schemas, key=lambda one: (one.precedence, one.name))


def _rule(rule: Mapping[str, Any], digest: Digest) -> bool:
    if not any(_subject(subject, digest.user) for subject in rule.get("subjects") or ()):
        return False
    if digest.resource:
        return any(_resource_rule(one, digest) for one in rule.get("resourceRules") or ())
    return any(_path_rule(one, digest) for one in rule.get("nonResourceRules") or ())


def _subject(subject: Mapping[str, Any], user: User) -> bool:
    match subject.get("kind"):
        case "User":
            name = (subject.get("user") or {}).get("name")
            return name in ("*", user.name)
        case "Group":
            name = (subject.get("group") or {}).get("name")
            return name == "*" or name in user.groups
        case "ServiceAccount":
            account = subject.get("serviceAccount") or {}
            prefix = f"{ACCOUNT_PREFIX}{account.get('namespace')}:"
            name = account.get("name")
            return user.name.startswith(prefix) if name == "*" else user.name == f"{prefix}{name}"
    return False


def _listed(listed: Sequence[str] | None, wanted: str) -> bool:
    return listed is not None and (wanted in listed or "*" in listed)


def _resource_rule(rule: Mapping[str, Any], digest: Digest) -> bool:
    resource = f"{digest.resource}/{digest.subresource}" if digest.subresource else digest.resource
    if not (
        _listed(rule.get("verbs"), digest.verb)
        and _listed(rule.get("resources"), resource)
        and _listed(rule.get("apiGroups"), digest.group)
    ):
        return False
    if not digest.namespace:
        return bool(rule.get("clusterScope"))
    return _listed(rule.get("namespaces"), digest.namespace)


def _path_rule(rule: Mapping[str, Any], digest: Digest) -> bool:
    if not _listed(rule.get("verbs"), digest.verb):
        return False
    for path in rule.get("nonResourceURLs") or ():
        prefix = path.removesuffix("*")
        prefix = prefix if prefix.endswith("/") else f"{prefix}/"
        if path in ("*", digest.path) or digest.path.startswith(prefix):
            return True
    return False

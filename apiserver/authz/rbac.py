"""RBAC: which rules a user holds, by roles and bindings, kept current from the watch cache.

Bindings are indexed by subject, so that a question looks only at bindings that name its user or one of his groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import errors, resources
from apimachinery.errors import StatusError
from apimachinery.fields import quote
from apiserver.authz.rules import Rule
from apiserver.ports import JSON, Attributes, Objects, User, Verdict

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
REMEMBERED = 8192

SubjectKey = tuple[str, str]  # kind ("User" or "Group") and name


@dataclass(frozen=True, slots=True)
class Grant:
    """One binding seen from one of its subjects."""

    binding: str
    namespace: str
    role_kind: str
    role_name: str
    subject: str

    def __str__(self) -> str:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.binding}/{self.namespace}" if self.namespace else self.binding
        return f"{kind} {quote(name)} of {self.role_kind} {quote(self.role_name)} to {self.subject}"


class RbacIndex:
    """Roles by name and bindings by subject; namespace "" holds what is of the cluster."""

    def __init__(self, objects: Objects) -> None:
        self._rules: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._grants: dict[str, dict[SubjectKey, dict[str, Grant]]] = {}
        self.generation = 0
        for plural in ("roles", "clusterroles"):
            objects.on_change(rbac_resource(plural), self._role_changed)
        for plural in ("rolebindings", "clusterrolebindings"):
            objects.on_change(rbac_resource(plural), self._binding_changed)

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """Those of the cluster first, as upstream asks them."""
        for where in ("", namespace) if namespace else ("",):
            by_subject = self._grants.get(where)
            if not by_subject:
                continue
            for key in (("User", user.name), *(("Group", group) for group in user.groups)):
                yield from by_subject.get(key, {}).values()

    def rules_of(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...]:
        """Raises StatusError 404 for a role that does not exist."""
        if kind == "ClusterRole":
            rules = self._rules.get(("", name))
        else:
            rules = self._rules.get((namespace, name)) if namespace else None
        if rules is None:
            raise errors.not_found(kind.lower(), GROUP, name)
        return rules

    def rules_for(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """All rules that the user holds there, and what went wrong on the way."""
        found: list[Rule] = []
        problems: list[str] = []
        for grant in self.grants(user, namespace):
            try:
                found += self.rules_of(grant.role_kind, grant.namespace, grant.role_name)
            except StatusError as error:
                problems.append(error.message)
        return found, problems

    def _role_changed(self, old: JSON | None, new: JSON | None) -> None:
        self.generation += 1
        present = new or old
        assert present is not None
        metadata = present["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if new is None:
            self._rules.pop(key, None)
        else:
            self._rules[key] = tuple(Rule.of(rule) for rule in new.get("rules") or ())

    def _binding_changed(self, old: JSON | None, new: JSON | None) -> None:
        self.generation += 1
        for binding, present in ((old, False), (new, True)):
            if binding is None:
                continue
            metadata = binding["metadata"]
            namespace, name = metadata.get("namespace", ""), metadata["name"]
            by_subject = self._grants.setdefault(namespace, {})
            for subject in binding.get("subjects") or ():
                key = subject_key(subject, namespace)
                if present and key is not None:
                    role = binding["roleRef"]
                    grant = Grant(name, namespace, role["kind"], role["name"], subject_text(subject, namespace))
                    by_subject.setdefault(key, {})[name] = grant
                elif key is not None and key in by_subject:
                    by_subject[key].pop(name, None)
                    if not by_subject[key]:
                        del by_subject[key]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say to a kind of question: for all names, or for those listed; `problems` if for none."""

    reason: str
    named: Mapping[str, str]
    problems: str

    def answer(self, name: str) -> tuple[Verdict, str]:
        if self.reason:
            return Verdict.ALLOW, self.reason
        if name in self.named:
            return Verdict.ALLOW, self.named[name]
        return Verdict.NO_OPINION, self.problems


class RbacAuthorizer:
    """Allows what some rule allows; never denies, so that other authorizers may still allow.

    Decisions are remembered until some role or binding changes: clients ask the same questions over and over.
    """

    def __init__(self, index: RbacIndex) -> None:
        self.index = index
        self._generation = -1
        self._decisions: dict[tuple[object, ...], Decision] = {}

    async def authorize(self, attributes: Attributes) -> tuple[Verdict, str]:
        user = attributes.user
        key = (
            (user.name, user.groups, attributes.verb),
            (attributes.path, attributes.namespace),
            (attributes.group, attributes.resource, attributes.subresource),
        )
        if self._generation != self.index.generation or len(self._decisions) >= REMEMBERED:
            self._decisions.clear()
            self._generation = self.index.generation
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decisions[key] = self._decide(attributes)
        return decision.answer(attributes.name)

    def _decide(self, attributes: Attributes) -> Decision:
        problems: list[str] = []
        named: dict[str, str] = {}
        for grant in self.index.grants(attributes.user, attributes.namespace):
            try:
                rules = self.index.rules_of(grant.role_kind, grant.namespace, grant.role_name)
            except StatusError as error:
                problems.append(error.message)
                continue
            for rule in rules:
                if not rule.allows_some(attributes):
                    continue
                if not rule.names or not attributes.resource:
                    return Decision(f"RBAC: allowed by {grant}", named, "")
                for name in rule.names:
                    named.setdefault(name, f"RBAC: allowed by {grant}")
        return Decision("", named, f"RBAC: {aggregate(problems)}" if problems else "")


def subject_key(subject: Mapping[str, Any], binding_namespace: str) -> SubjectKey | None:
    """Under which name a subject is looked up; a ServiceAccount is a user by its long name."""
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind in ("User", "Group"):
        return kind, name
    namespace = subject.get("namespace") or binding_namespace
    if kind != "ServiceAccount" or not namespace:
        return None
    return "User", f"system:serviceaccount:{namespace}:{name}"


def subject_text(subject: Mapping[str, Any], binding_namespace: str) -> str:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or binding_namespace}"
    return f"{kind} {quote(name)}"


def aggregate(problems: list[str]) -> str:
    """Several sentences as one."""
    distinct = list(dict.fromkeys(problems))
    return distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"


def rbac_resource(plural: str) -> resources.ResourceInfo:
    info = resources.find(GROUP, "v1", plural)
    assert info is not None, plural
    return info

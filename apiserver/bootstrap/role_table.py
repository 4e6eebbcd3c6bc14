"""A short notation for roles, so that a hundred of them can be read and compared.

    name +label <label          a role; +label marks it as aggregated into others, <label makes it gather such roles
      verbs | groups | resources [| names]
      verbs | path | urls       lines that begin with more blanks continue the one before

`core` is the group without a name; READ, WRITE and ALL stand for the verbs one would expect. A role name with a slash
is a Role in that namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apiserver.authz.rules import Rule

GROUP = "rbac.authorization.k8s.io"
READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
_VERBS = {"READ": READ, "WRITE": WRITE, "ALL": tuple(sorted(READ + WRITE))}
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


@dataclass(frozen=True, slots=True)
class Role:
    """`namespace` is empty for a ClusterRole; `gathers` are the labels of roles whose rules it takes over."""

    name: str
    namespace: str = ""
    labels: tuple[str, ...] = ()
    gathers: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    def as_object(self) -> dict[str, Any]:
        obj = _object("Role" if self.namespace else "ClusterRole", self.name, self.namespace)
        obj["metadata"]["labels"] |= {f"{GROUP}/{label}": "true" for label in self.labels}
        if self.gathers:
            selectors = [{"matchLabels": {f"{GROUP}/{label}": "true"}} for label in self.gathers]
            obj["aggregationRule"] = {"clusterRoleSelectors": selectors}
        obj["rules"] = [rule.as_object() for rule in self.rules]
        return obj


@dataclass(frozen=True, slots=True)
class Binding:
    """`name` is the role's unless given."""

    role: str
    subjects: tuple[str, ...]
    namespace: str = ""
    name: str = ""

    def as_object(self) -> dict[str, Any]:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        obj = _object(kind, self.name or self.role, self.namespace)
        obj["roleRef"] = {"apiGroup": GROUP, "kind": kind.removesuffix("Binding"), "name": self.role}
        if self.subjects:
            obj["subjects"] = [_subject(subject) for subject in self.subjects]
        return obj


def parse(table: str) -> tuple[Role, ...]:
    roles: list[Role] = []
    for line in _joined(table):
        if not line.startswith(" "):
            roles.append(_head(line.split()))
        else:
            roles[-1] = replace(roles[-1], rules=(*roles[-1].rules, _rule(line)))
    return tuple(roles)


def _joined(table: str) -> Iterator[str]:
    yield from re.sub(r"\n {6,}", " ", table).splitlines()


def _head(words: list[str]) -> Role:
    namespace, slash, name = words[0].partition("/")
    if not slash:
        namespace, name = "", words[0]
    labels = tuple(word[1:] for word in words[1:] if word[0] == "+")
    return Role(name, namespace, labels, tuple(word[1:] for word in words[1:] if word[0] == "<"))


def _rule(line: str) -> Rule:
    verbs_text, groups, resources, *names = (part.split() for part in line.split("|"))
    verbs = tuple(verb for word in verbs_text for verb in _VERBS.get(word, (word,)))
    if groups == ["path"]:
        return Rule(verbs, paths=tuple(resources))
    named = tuple(names[0]) if names else ()
    return Rule(verbs, tuple("" if group == "core" else group for group in groups), tuple(resources), named)


def _object(kind: str, name: str, namespace: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": dict(LABELS), "annotations": {AUTOUPDATE: "true"}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def _subject(text: str) -> dict[str, str]:
    kind, _, name = text.partition(":")
    if kind == "account":
        namespace, _, account = name.partition("/")
        return {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return {"kind": kind.capitalize(), "apiGroup": GROUP, "name": name}

"""One RBAC rule: what it allows, and whether a set of rules covers another.

Rules are compiled from the stored objects when these change, so that a request only looks up sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.fields import quote
from apiserver.ports import Attributes

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on resources of groups, perhaps of some names only, or verbs on paths."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Rule:
        """From a PolicyRule as the API holds it."""

        def strings(key: str) -> tuple[str, ...]:
            return tuple(stored.get(key) or ())

        return cls(
            strings("verbs"),
            strings("apiGroups"),
            strings("resources"),
            strings("resourceNames"),
            strings("nonResourceURLs"),
        )

    def allows(self, question: Attributes) -> bool:
        if self.names and question.resource and question.name not in self.names:
            return False
        return self.allows_some(question)

    def allows_some(self, question: Attributes) -> bool:
        """Whether it allows this for some name at least."""
        if question.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not question.resource:
            return any(path_covers(path, question.path) for path in self.paths)
        if question.group not in self.groups and ALL not in self.groups:
            return False
        return self._names_resource(question.resource, question.subresource)

    def _names_resource(self, resource: str, subresource: str) -> bool:
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def covers(self, atom: Rule) -> bool:
        """Whether this rule gives all that `atom`, a part made by `atoms`, gives."""
        if atom.verbs[0] not in self.verbs and ALL not in self.verbs:
            return False
        if atom.paths:
            return any(path_covers(path, atom.paths[0]) for path in self.paths)
        if atom.groups[0] not in self.groups and ALL not in self.groups:
            return False
        if self.names and (not atom.names or atom.names[0] not in self.names):
            return False
        resource, _, subresource = atom.resources[0].partition("/")
        return self._names_resource(resource, subresource)

    def atoms(self) -> list[Rule]:
        """The same rights as rules of one verb, group, resource and name, or one verb and path."""
        names: list[tuple[str, ...]] = [(name,) for name in self.names] or [()]
        parts = [
            Rule((verb,), (group,), (resource,), named)
            for group in self.groups
            for resource in self.resources
            for verb in self.verbs
            for named in names
        ]
        return parts + [Rule((verb,), paths=(path,)) for path in self.paths for verb in self.verbs]

    def as_object(self) -> dict[str, Any]:
        """A PolicyRule as the API holds it."""
        fields = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {key: list(value) for key, value in fields.items() if value or key == "verbs"}

    def __str__(self) -> str:
        """As refusals print it."""
        fields = {
            "APIGroups": self.groups,
            "Resources": self.resources,
            "NonResourceURLs": self.paths,
            "ResourceNames": self.names,
            "Verbs": self.verbs,
        }
        return "{" + ", ".join(f"{key}:{quoted_list(value)}" for key, value in fields.items() if value) + "}"


def path_covers(pattern: str, path: str) -> bool:
    if pattern in (ALL, path):
        return True
    return pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL))


def missing(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The rights among `wanted` that `held` does not give, verbs on the same resource gathered into one rule."""
    atoms = [atom for rule in wanted for atom in rule.atoms()]
    uncovered = [atom for atom in atoms if not any(rule.covers(atom) for rule in held)]
    gathered: dict[Rule, list[str]] = {}
    result = []
    for atom in uncovered:
        if atom.paths:
            result.append(atom)
        else:
            key = Rule((), atom.groups, atom.resources, atom.names)
            gathered.setdefault(key, []).append(atom.verbs[0])
    result += [Rule(tuple(verbs), key.groups, key.resources, key.names) for key, verbs in gathered.items()]
    return result


def quoted_list(values: Iterable[str]) -> str:
    """As Go prints a list of strings with %q."""
    return "[" + " ".join(quote(value) for value in values) + "]"

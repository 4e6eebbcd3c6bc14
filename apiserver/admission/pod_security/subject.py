"""A pod as the checks see it, and the turns of phrase that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from apimachinery.fields import quote


class Violation(NamedTuple):
    """`detail` says who does it, and where."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Subject:
    """Metadata and spec of a pod or of a template, and the version whose standard counts."""

    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    minor: int

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return [
            one for key in ("initContainers", "containers", "ephemeralContainers") for one in self.spec.get(key) or ()
        ]

    @property
    def security(self) -> Mapping[str, Any]:
        return self.spec.get("securityContext") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.get("annotations") or {}

    @property
    def in_user_namespace(self) -> bool:
        """From 1.35 on, root inside a user namespace is nobody outside."""
        return self.minor >= 35 and self.spec.get("hostUsers") is False

    @property
    def on_windows(self) -> bool:
        return self.minor >= 25 and (self.spec.get("os") or {}).get("name") == "windows"

    def names(self, fault: Callable[[Mapping[str, Any]], object]) -> list[str]:
        """Of the containers with that fault."""
        return [one["name"] for one in self.containers if fault(one)]


Check = Callable[[Subject], Violation | None]


def context(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def plural(singular: str, several: str, count: int) -> str:
    return singular if count == 1 else several


def listed(values: Iterable[str]) -> str:
    return ", ".join(quote(value) for value in values)


def containers(names: Sequence[str]) -> str:
    return f"{plural('container', 'containers', len(names))} {listed(names)}"


def setters(pod: bool, names: Sequence[str]) -> list[str]:
    """Those that explicitly set something bad."""
    return [*(["pod"] if pod else []), *([containers(names)] if names else [])]

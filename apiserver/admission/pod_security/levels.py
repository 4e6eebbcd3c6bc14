"""What a namespace's labels ask for: which standard, of which version, to enforce and to warn of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from apimachinery.fields import FieldError, Path, invalid

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
LATEST = 10_000  # newer than any version
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Standard:
    """`minor` is that of Kubernetes 1.x whose form of the standard counts."""

    level: str = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)


@dataclass(frozen=True, slots=True)
class Policy:
    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()

    @property
    def is_void(self) -> bool:
        return all(one.level == "privileged" for one in (self.enforce, self.audit, self.warn))


def policy_of(labels: Mapping[str, str]) -> tuple[Policy, list[FieldError]]:
    """A policy also comes of wrong labels: enforcing fails closed, the others open."""
    if not any(key.startswith(PREFIX) for key in labels):
        return Policy(), []
    found: list[FieldError] = []
    standards = {mode: _standard(labels, mode, found) for mode in ("enforce", "audit", "warn")}
    enforce, warn = standards["enforce"], standards["warn"]
    asked = labels.get(f"{PREFIX}enforce")
    if f"{PREFIX}warn" not in labels and asked in LEVELS and enforce.strictness > warn.strictness:
        warn = replace(warn, level=enforce.level)
        if f"{PREFIX}warn-version" not in labels:
            warn = replace(warn, minor=enforce.minor)
    return Policy(enforce, standards["audit"], warn), found


def _standard(labels: Mapping[str, str], mode: str, found: list[FieldError]) -> Standard:
    standard = Standard()
    level = labels.get(f"{PREFIX}{mode}")
    if level is not None:
        if level not in LEVELS:
            found.append(invalid(_place(mode), level, f"must be one of {', '.join(LEVELS)}"))
            level = "restricted" if mode == "enforce" else "privileged"
        standard = replace(standard, level=level)
    version = labels.get(f"{PREFIX}{mode}-version")
    if version is not None and version != "latest":
        match = _VERSION.fullmatch(version)
        if match is None:
            found.append(invalid(_place(f"{mode}-version"), version, 'must be "latest" or "v1.x"'))
        else:
            standard = replace(standard, minor=int(match.group(1)))
    return standard


def _place(name: str) -> Path:
    return Path("metadata").child("labels").key(f"{PREFIX}{name}")

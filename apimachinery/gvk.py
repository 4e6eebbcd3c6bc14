"""Groups, versions and kinds: how `apiVersion` texts split and which version of an API is preferred."""

from __future__ import annotations

import re
from typing import NamedTuple

_KUBE_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {"alpha": 0, "beta": 1, None: 2}


class GroupVersionKind(NamedTuple):
    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return join_api_version(self.group, self.version)

    def __str__(self) -> str:
        """As the server's messages write it: `apps/v1, Kind=Deployment`."""
        return f"{self.api_version}, Kind={self.kind}"


def join_api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` -> (`apps`, `v1`); `v1` -> (``, `v1`). ValueError for more than one slash."""
    if not api_version or api_version == "/":
        return "", ""
    parts = api_version.split("/")
    if len(parts) == 1:
        return "", parts[0]
    if len(parts) == 2:
        return parts[0], parts[1]
    raise ValueError(f"unexpected GroupVersion string: {api_version}")


def version_rank(version: str) -> tuple[int, int, int, int, str]:
    """Sort key, most preferred first: GA before beta before alpha, newer first, then other names alphabetically."""
    match = _KUBE_VERSION.fullmatch(version)
    if match is None:
        return 1, 0, 0, 0, version
    major, stage, minor = match.groups()
    return 0, -_STAGES[stage], -int(major), -int(minor or 0), version

"""Image references: the short forms people write, made into the full names that registries and containerd use."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST = re.compile(r"sha(?:256:[a-f0-9]{64}|512:[a-f0-9]{128})\Z")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z")
DEFAULT_DOMAIN = "docker.io"
LOCAL_DOMAIN = "skiff.local"
"""No registry stands behind this name: its images are built or loaded on the node."""


@dataclass(frozen=True, slots=True)
class Reference:
    domain: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.domain}/{self.repository}"

    @property
    def tagged(self) -> str:
        return f"{self.name}:{self.tag}" if self.tag else ""

    @property
    def wanted(self) -> str:
        """What to ask the registry for: a digest if there is one, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        text = self.name
        if self.tag:
            text += f":{self.tag}"
        if self.digest:
            text += f"@{self.digest}"
        return text


def parse_reference(text: str) -> Reference:
    """Raises ValueError with one sentence when the text is no image reference."""
    complaint = f"{text!r} is not a valid image reference"
    rest, _, digest = text.partition("@")
    if (digest and not _DIGEST.match(digest)) or text.endswith("@"):
        raise ValueError(f"{complaint}: bad digest")
    tag = ""
    slash = rest.rfind("/")
    colon = rest.rfind(":")
    if colon > slash:
        rest, tag = rest[:colon], rest[colon + 1 :]
        if not _TAG.match(tag):
            raise ValueError(f"{complaint}: bad tag")
    first, separator, remainder = rest.partition("/")
    if separator and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        domain, repository = first, remainder
    else:
        domain, repository = DEFAULT_DOMAIN, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in repository:
        repository = f"library/{repository}"
    if not _DOMAIN.match(domain):
        raise ValueError(f"{complaint}: bad registry name")
    if not _REPOSITORY.match(repository) or len(domain) + len(repository) > 254:
        raise ValueError(f"{complaint}: bad repository name")
    if not tag and not digest:
        tag = "latest"
    return Reference(domain, repository, tag, digest)

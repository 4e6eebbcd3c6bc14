"""Which representation an Accept header asks for: JSON, YAML, protobuf; tables or bare metadata for the object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from apimachinery import errors

JSON, YAML = "application/json", "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_SUPPORTED = (JSON, YAML, PROTOBUF)
_TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True)
class Representation:
    """`transform` is the kind asked for instead of the object's own, in `meta.k8s.io/<version>`."""

    media_type: str = JSON
    transform: str = ""
    version: str = "v1"
    pretty: bool = False

    @property
    def plain(self) -> bool:
        return self.media_type == JSON and not self.transform and not self.pretty


PLAIN = Representation()


def pretty_wanted(query: dict[str, str], user_agent: str) -> bool:
    """By `?pretty`, or for people: browsers, curl and wget get indented JSON."""
    if asked := query.get("pretty"):
        return asked in ("1", "t", "T", "true", "TRUE", "True")
    return user_agent.startswith(("curl", "Wget", "Mozilla/5.0"))


@lru_cache(maxsize=256)
def negotiate(accept: str, watch: bool = False, pretty: bool = False, tables: bool = True) -> Representation:
    """The first clause that can be served. Raises StatusError 406.

    Not `tables`: what is answered is no stored object (a review, a token), which has no columns.
    """
    if not accept:
        return Representation(pretty=pretty)
    clauses = sorted(_clauses(accept), key=lambda clause: -clause[1])
    for media, _, parameters in clauses:
        if media in ("*/*", "application/*"):
            return Representation(pretty=pretty)
        if media not in (JSON, YAML) or (watch and media == YAML):
            continue
        transform = parameters.get("as", "")
        if not transform:
            return Representation(media, pretty=pretty)
        if transform == "Table" and not tables:
            continue
        if _known(transform, parameters):
            return Representation(media, transform, parameters["v"], pretty)
    for media, _, parameters in clauses:  # objects lie here as JSON: who takes that too has got it
        transform = parameters.get("as", "")
        if media != PROTOBUF or transform == "Table" or not _known(transform, parameters):
            continue
        return Representation(PROTOBUF, transform, parameters["v"] if transform else "v1")
    raise errors.not_acceptable((JSON, PROTOBUF) if watch else _SUPPORTED)


def _known(transform: str, parameters: dict[str, str]) -> bool:
    """Whether it is an object's own form, or one of those made of it."""
    if not transform:
        return True
    ours = transform in _TRANSFORMS and parameters.get("g") == "meta.k8s.io"
    return ours and parameters.get("v") in ("v1", "v1beta1")


def _clauses(accept: str) -> list[tuple[str, float, dict[str, str]]]:
    found = []
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = {}
        for item in rest:
            name, _, value = item.partition("=")
            parameters[name.strip()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        found.append((media.lower(), quality, parameters))
    return found

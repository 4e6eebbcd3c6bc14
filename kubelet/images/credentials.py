"""Registry credentials out of imagePullSecrets. Pure."""

import base64
import binascii
import fnmatch
import json
from collections.abc import Iterable
from typing import Any

from skiff_pb.cri import runtime_pb2 as cri

DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"


def registry_and_path(image: str) -> tuple[str, str]:
    first, _, rest = image.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "docker.io", image if rest else f"library/{image}"


def matching_credentials(image: str, secrets: Iterable[tuple[str, dict[str, bytes]]]) -> list[cri.AuthConfig]:
    """Credentials that fit the image's registry, the most specific path first, then in the secrets' order."""
    host, path = registry_and_path(image)
    found: list[tuple[int, cri.AuthConfig]] = []
    for kind, data in secrets:
        for server, entry in _entries(kind, data).items():
            name = server.removeprefix("https://").removeprefix("http://").rstrip("/")
            server_host, _, server_path = name.partition("/")
            if server_host in ("index.docker.io", "registry-1.docker.io"):
                server_host, server_path = "docker.io", ""
            if server_path in ("v1", "v2"):
                server_path = ""
            if not _host_matches(server_host, host) or not _path_matches(server_path, path):
                continue
            found.append((len(server_path), _auth(entry, server)))
    found.sort(key=lambda pair: -pair[0])
    return [auth for _, auth in found]


def _entries(kind: str, data: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    try:
        if kind == DOCKER_CONFIG:
            return dict(json.loads(data.get(".dockerconfigjson", b"{}")).get("auths") or {})
        if kind == DOCKER_CFG:
            return dict(json.loads(data.get(".dockercfg", b"{}")))
    except (ValueError, AttributeError):
        return {}
    return {}


def _host_matches(pattern: str, host: str) -> bool:
    ours, theirs = pattern.split("."), host.split(".")
    return len(ours) == len(theirs) and all(fnmatch.fnmatchcase(t, o) for o, t in zip(ours, theirs, strict=True))


def _path_matches(prefix: str, path: str) -> bool:
    return not prefix or path == prefix or path.startswith(prefix.rstrip("/") + "/")


def _auth(entry: dict[str, Any], server: str) -> cri.AuthConfig:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth") and not username:
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            username = password = ""
    return cri.AuthConfig(
        username=username,
        password=password,
        identity_token=entry.get("identitytoken") or "",
        registry_token=entry.get("registrytoken") or "",
        server_address=server,
    )

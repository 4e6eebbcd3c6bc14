"""Random requests to an apiserver, good and broken: every kind, verb, content type and option.

The same seed makes the same requests, but for what they take over from answers (the objects they update). Left out is
only what would rightly change the answers to all later requests: configuration of webhooks, of aggregated servers and
of flow control is sent as a dry run, and the namespaces worked in are not deleted.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from apimachinery import protobuf
from apimachinery.resources import RESOURCES, ResourceInfo
from apimachinery.schema import decode, type_of
from tests.integration.apiserver import random_objects
from tests.integration.apiserver.random_objects import JUNK

NAMESPACES = ("default", "fuzz-a", "fuzz-b")
NAMES = ("fuzz-0", "fuzz-1", "fuzz-2", "fuzz-3")
_STEERING = {"admissionregistration.k8s.io", "apiregistration.k8s.io", "flowcontrol.apiserver.k8s.io"}
_OTHER_PATHS = (
    "/", "/api", "/apis", "/apis/", "/apis/apps", "/api/v1", "/apis/apps/v1", "/version",
    "/version/", "/healthz", "/livez",
    "/readyz", "/readyz/ping", "/livez/nothing", "/metrics", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1",
    "/openapi/v3/apis/apps/v1", "/logs", "/logs/x", "/openid/v1/jwks", "/.well-known/openid-configuration", "/api/v2",
    "/apis/nope/v1", "/apis/nope/v1/things", "/api/v1/nope", "//", "/api//v1/pods", "/api/v1/pods/", "/api/v1//pods",
    "/api/v1/watch/pods", "/api/v1/watch/namespaces/default/pods/fuzz-0", "/api/v1/proxy/x", "/api/v1/namespaces//pods",
    "/api/v1/namespaces/default/pods/fuzz-0/nope", "/api/v1/namespaces/default/pods/fuzz-0/status/x/y",
    "/apis/apps/v1/namespaces/default/deployments/a%2Fb", "/api/v1/namespaces/default/pods/%00", "/%ff/%fe", "/..",
    "/api/v1/../v1/pods", "/api/v1/namespaces/default/pods/" + "x" * 3000, "/debug/pprof", "/ui", "/static/x",
)  # fmt: skip
_ODD = (
    "",
    "x",
    "-1",
    "0",
    "1",
    "true",
    "false",
    "True",
    "99999999999999999999",
    "1e9",
    "%00",
    "é",
    "a,b",
    "=",
    "!",
    "\x00",
)
_QUERIES: dict[str, tuple[str, ...]] = {
    "dryRun": ("All", "", "None", "All,All"),
    "fieldManager": ("me", "", "x" * 129, "\x07", "kubectl"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "strict", ""),
    "force": ("true", "false", "maybe"),
    "pretty": ("true", "false", "1", ""),
    "limit": ("1", "0", "2", "-1", "x", "9223372036854775808"),
    "continue": ("x", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "e30", "", "=" * 9),
    "resourceVersion": ("0", "1", "99999999", "x", "-1", "", "18446744073709551616"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x", ""),
    "labelSelector": ("a=b", "a in (b,c)", "!a", "a notin ()", "a=b,,", "((", "a==", "x/y/z=1",
    "a>1", "a" * 400, "é=1"),
    "fieldSelector": ("metadata.name=fuzz-0", "metadata.namespace!=x", "status.phase=Running",
    "a=b", "a", "\\", "=", ","),
    "timeoutSeconds": ("1", "0", "-1", "x", "999999999999"),
    "watch": ("0", "false"),
    "sendInitialEvents": ("true", "false", "x"),
    "allowWatchBookmarks": ("true", "x"),
    "gracePeriodSeconds": ("0", "1", "-1", "x", "9223372036854775807"),
    "propagationPolicy": ("Orphan", "Background", "Foreground", "x", ""),
    "orphanDependents": ("true", "false", "x", ""),
    "includeObject": ("None", "Object", "Metadata", "x"),
    "export": ("true",),
    "container": ("c", ""),
    "tailLines": ("-1", "x", "1"),
    "timeout": ("1s", "x", "-5s", "1h"),
    "nope": _ODD,
}  # fmt: skip
_ACCEPTS = (
    "", "*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf",
    "text/html", "application/cbor",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v9;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", ";;;", "application/json;q=x", "a/b;q=0.1,*/*",
    "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", "application/yaml;as=Table;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", ",",
    "application/json;stream=watch",
)  # fmt: skip
_CONTENT_TYPES = (
    "", "text/plain", "application/cbor", "application/json; charset=utf-8", "application/xml",
    ";", "application/json;;=",
    "application/apply-patch+cbor", "multipart/form-data", "application/vnd.kubernetes.protobuf;stream=watch",
)  # fmt: skip
_HEADERS: tuple[tuple[str, str], ...] = (
    ("Content-Encoding", "gzip"), ("Content-Encoding", "br"), ("Accept-Encoding", "gzip"), ("User-Agent", "curl/8"),
    ("Authorization", "Bearer x"), ("Authorization", "Bearer a.b.c"), ("Authorization",
    "Basic eDp5"), ("Authorization", ""),
    ("Impersonate-User", "jane"), ("Impersonate-Group", "g"), ("Impersonate-User", ""), ("Impersonate-Extra-%zz", "1"),
    ("X-Remote-User", "root"), ("X-Remote-Group", "system:masters"), ("If-None-Match", '"x"'), ("Range", "bytes=0-1"),
    ("Upgrade", "websocket"), ("Connection", "keep-alive"), ("Audit-ID", "x" * 300), ("X-Forwarded-For", "1.2.3.4"),
    ("Origin", "https://example.org"), ("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.eA"),
    ("Cookie", "a=b"), ("Expect", "nothing"), ("Traceparent", "00-0-0-0"), ("Impersonate-Uid", "1"),
)  # fmt: skip
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}\n{dict(self.headers)}\n{self.body!r}"


@dataclass
class Requests:
    """An endless supply; `saw` tells it what an answer held, so that updates have something to update."""

    rng: random.Random
    seen: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)

    def next(self) -> Request:
        dice = self.rng.random()
        if dice < 0.06:
            return self._outside()
        info = self.rng.choice(RESOURCES)
        if dice < 0.45:
            request = self._write(info)
        elif dice < 0.65:
            request = self._patch(info)
        elif dice < 0.92:
            request = self._read(info)
        else:
            request = self._delete(info)
        return self._spoiled(request) if self.rng.random() < 0.08 else request

    def saw(self, obj: Any) -> None:
        if isinstance(obj, dict) and isinstance(obj.get("metadata"), dict) and obj["metadata"].get("name"):
            kept = self.seen.setdefault(f"{obj.get('apiVersion')}/{obj.get('kind')}", deque(maxlen=20))
            kept.append(obj)

    # -- Requests

    def _outside(self) -> Request:
        path = self.rng.choice(_OTHER_PATHS)
        method = self.rng.choice(("GET", "GET", "HEAD", "OPTIONS", "POST", "DELETE", "PUT", "PATCH", "TRACE", "QUERY"))
        return Request(method, path + self._query(()), self._headers(), b"{}" if method in ("POST", "PUT") else b"")

    def _read(self, info: ResourceInfo) -> Request:
        options = ("limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector")
        more = ("timeoutSeconds", "pretty", "watch", "sendInitialEvents", "allowWatchBookmarks", "includeObject")
        path = self._path(info, self.rng.choice((True, False, False)))
        extra = [("watch", "1")] if info.is_stored and self.rng.random() < 0.15 else []
        method = self.rng.choice(("GET",) * 12 + ("HEAD", "OPTIONS"))
        return Request(method, path + self._query((*options, *more), extra), self._headers())

    def _write(self, info: ResourceInfo) -> Request:
        rng = self.rng
        update = rng.random() < 0.45
        name = rng.choice(NAMES)
        obj = random_objects.body(rng, info, name)
        known = self.seen.get(f"{info.api_version}/{info.kind}")
        if update and known and rng.random() < 0.8:
            obj = rng.choice(list(known))
            path = self._path(info, True, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            if rng.random() < 0.8:
                obj = random_objects.changed(rng, obj, type_of(info.group, info.version, info.kind), 1)
        else:
            path = self._path(info, update, "", name)
        media, data = self._encoded(info, obj)
        query = self._query(("dryRun", "fieldManager", "fieldValidation", "pretty"), _safely(info))
        return Request("PUT" if update else "POST", path + query, self._headers(media), data)

    def _patch(self, info: ResourceInfo) -> Request:
        rng = self.rng
        media = rng.choice(PATCHES)
        known = self.seen.get(f"{info.api_version}/{info.kind}")
        name, namespace = rng.choice(NAMES), ""
        base = random_objects.good(info, name)
        if known and rng.random() < 0.8:
            base = rng.choice(list(known))
            name, namespace = base["metadata"]["name"], base["metadata"].get("namespace", "")
        change: Any
        if media == PATCHES[0]:
            change = [self._operation(base) for _ in range(rng.randint(0, 4))]
        else:
            change = random_objects.changed(rng, random_objects.body(rng, info, name), None, rng.randint(0, 2))
            if media == PATCHES[3] and isinstance(change, dict) and rng.random() < 0.9:
                change |= {"apiVersion": info.api_version, "kind": info.kind, "metadata": {"name": name}}
        data = _json(change)
        options = ("dryRun", "fieldManager", "fieldValidation", "force")
        extra = [*_safely(info), *([("fieldManager", "fuzz")] if media == PATCHES[3] and rng.random() < 0.9 else [])]
        path = self._path(info, True, namespace, name)
        return Request("PATCH", path + self._query(options, extra), self._headers(media), data)

    def _delete(self, info: ResourceInfo) -> Request:
        rng = self.rng
        single = rng.random() < 0.7
        if info.kind == "Namespace":
            return Request("DELETE", "/api/v1/namespaces/" + rng.choice(NAMES) + self._query(("dryRun",)))
        data, media = b"", ""
        if rng.random() < 0.4:
            options = {"kind": "DeleteOptions", "apiVersion": rng.choice(("v1", info.api_version, "meta.k8s.io/v1"))}
            node = type_of("", "v1", "DeleteOptions")
            data, media = _json(random_objects.changed(rng, options, node, 2)), "application/json"
        names = ("dryRun", "gracePeriodSeconds", "propagationPolicy", "orphanDependents")
        query = self._query((*names, "labelSelector", "limit"), _safely(info))
        return Request("DELETE", self._path(info, single) + query, self._headers(media), data)

    def _spoiled(self, request: Request) -> Request:
        """With some of its bytes changed, or its type lied about."""
        rng = self.rng
        data = bytearray(request.body)
        for _ in range(rng.randint(1, 3)):
            if data:
                place = rng.randrange(len(data))
                data[place : place + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        headers = tuple(one for one in request.headers if one[0] != "Content-Type" or rng.random() < 0.7)
        return Request(request.method, request.path, headers, bytes(data))

    # -- Their parts

    def _path(self, info: ResourceInfo, single: bool, namespace: str = "", name: str = "") -> str:
        rng = self.rng
        if not namespace and rng.random() < 0.85:
            namespace = rng.choice(NAMESPACES)
        chosen = (name or rng.choice(NAMES)) if single else ""
        subresource = ""
        if chosen and info.subresources and rng.random() < 0.35:
            # What a proxy reaches is not the apiserver's answer.
            subresource = rng.choice([s.name for s in info.subresources if s.name != "proxy"] or [""])
        return quote(info.path(namespace, chosen, subresource))

    def _query(self, names: tuple[str, ...], always: list[tuple[str, str]] | None = None) -> str:
        rng = self.rng
        pairs = list(always or ())
        for name in names:
            if rng.random() < 0.08:
                pairs.append((name, rng.choice(_QUERIES[name] if rng.random() < 0.85 else _ODD)))
        if rng.random() < 0.05:
            name = rng.choice(sorted(set(_QUERIES)))
            pairs.append((name, rng.choice(_QUERIES[name])))
        text = urlencode(pairs)
        if rng.random() < 0.02:
            text += rng.choice(("&", "&&=", "&%zz", "&a;b", "&" + "q" * 5000, "&=", "&dryRun=All&dryRun=x", "&%ff=%fe"))
        return f"?{text}" if text else ""

    def _headers(self, media: str = "") -> tuple[tuple[str, str], ...]:
        rng = self.rng
        headers = []
        if rng.random() < 0.3:
            headers.append(("Accept", rng.choice(_ACCEPTS)))
        if media:
            headers.append(("Content-Type", media if rng.random() < 0.95 else rng.choice(_CONTENT_TYPES)))
        if rng.random() < 0.08:
            headers.append(rng.choice(_HEADERS))
        return tuple(headers)

    def _encoded(self, info: ResourceInfo, obj: Any) -> tuple[str, bytes]:
        data, dice = _json(obj), self.rng.random()
        if dice < 0.12:
            try:
                return "application/yaml", yaml.safe_dump(json.loads(data), allow_unicode=True).encode()
            except (yaml.YAMLError, UnicodeError):
                return "application/yaml", data
        if dice < 0.3:
            try:
                return protobuf.MEDIA_TYPE, protobuf.encode(decode(info, data, "application/json").obj)
            except Exception:  # noqa: BLE001 - what has no such form is sent as JSON
                return "application/json", data
        if dice < 0.32:
            return "application/json", gzip.compress(data)
        return "application/json", data

    def _operation(self, obj: Any) -> Any:
        """One of a JSON patch's, on a place the object has or nearly has."""
        rng = self.rng
        place, here = "", obj
        for _ in range(rng.randint(0, 5)):
            if isinstance(here, dict) and here:
                step = rng.choice(sorted(here))
                place, here = f"{place}/{step.replace('~', '~0').replace('/', '~1')}", here[step]
            elif isinstance(here, list) and here:
                step = rng.randrange(len(here))
                place, here = f"{place}/{step}", here[step]
        if rng.random() < 0.3:
            place += rng.choice(("/-", "/x", "/0", "/-1", "/99999", "~", "//", "/~2", "/é"))
        operation: dict[str, Any] = {
            "op": rng.choice(("add", "remove", "replace", "move", "copy", "test", "nope")),
            "path": place,
        }
        if rng.random() < 0.8:
            operation["value"] = rng.choice((here, *JUNK)) if rng.random() < 0.9 else obj
        if operation["op"] in ("move", "copy"):
            operation["from"] = rng.choice(("/metadata/name", "/metadata", "/spec", "", "/nope", place))
        return operation if rng.random() < 0.97 else random_objects.junk(rng)


def _safely(info: ResourceInfo) -> list[tuple[str, str]]:
    return [("dryRun", "All")] if info.group in _STEERING or info.kind == "CustomResourceDefinition" else []


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()

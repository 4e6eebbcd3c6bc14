"""A client of the OCI distribution API: manifests and blobs, with basic and bearer authentication.

Plain http is spoken to loopback addresses and to the registries named insecure, to nobody else. Credentials go only to
the registry they were given for and to the token service it names, and are never logged.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from kubelet.cri_shim.image_build import digest_of
from kubelet.cri_shim.image_refs import Reference
from kubelet.cri_shim.registry_types import MANIFEST_TYPES, Credentials, Manifest, RegistryError

DOCKER_HUB = "registry-1.docker.io"
MAX_MANIFEST = 8 << 20
_CHALLENGE = re.compile(r'([A-Za-z]+)="([^"]*)"')


class RegistryClient:
    """For one repository and one set of credentials; the bearer token is fetched when first asked for."""

    def __init__(
        self,
        reference: Reference,
        credentials: Credentials | None = None,
        insecure: Sequence[str] = (),
        mirrors: Mapping[str, str] | None = None,
    ) -> None:
        self._reference = reference
        self._credentials = credentials or Credentials()
        self._base = (mirrors or {}).get(reference.domain) or _base_url(reference.domain, insecure)
        self._authorization = f"Bearer {self._credentials.registry_token}" if self._credentials.registry_token else ""
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(30.0, read=120.0), follow_redirects=True, trust_env=not _is_loopback(self._base)
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def manifest(self, wanted: str) -> Manifest:
        path = f"/v2/{self._reference.repository}/manifests/{wanted}"
        async with self._get(path, {"Accept": ", ".join(MANIFEST_TYPES)}) as response:
            self._raise_for(response, wanted)
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_MANIFEST:
                    raise RegistryError(f"the manifest of {self._reference} is over {MAX_MANIFEST} bytes")
            media_type = response.headers.get("content-type", "").partition(";")[0].strip()
        digest = digest_of(bytes(body))
        if wanted.startswith("sha256:") and digest != wanted:
            raise RegistryError(f"the manifest of {self._reference} has digest {digest}, not {wanted}")
        manifest = Manifest(media_type, digest, bytes(body))
        return Manifest(manifest.document().get("mediaType") or media_type, digest, manifest.body)

    @asynccontextmanager
    async def blob(self, digest: str, offset: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """The blob's bytes from `offset` on, whether or not the registry heeds ranges."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._get(f"/v2/{self._reference.repository}/blobs/{digest}", headers) as response:
            self._raise_for(response, digest)
            skip = 0 if response.status_code == 206 else offset
            yield _skipping(response.aiter_raw(1 << 20), skip)

    @asynccontextmanager
    async def _get(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        for attempt in range(2):
            sent = dict(headers)
            if self._authorization:
                sent["Authorization"] = self._authorization
            try:
                async with self._http.stream("GET", self._base + path, headers=sent) as response:
                    challenge = response.headers.get("www-authenticate", "")
                    if response.status_code == 401 and attempt == 0 and challenge:
                        self._authorization = await self._authorize(challenge)
                        if self._authorization:
                            continue
                    yield response
                    return
            except httpx.HTTPError as error:
                raise RegistryError(f"registry {self._base} cannot be read: {error or type(error).__name__}") from error

    async def _authorize(self, challenge: str) -> str:
        scheme = challenge.partition(" ")[0].lower()
        credentials = self._credentials
        if scheme == "basic":
            if not credentials.username:
                return ""
            pair = f"{credentials.username}:{credentials.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        fields = dict(_CHALLENGE.findall(challenge))
        realm = fields.get("realm", "")
        if scheme != "bearer" or urlsplit(realm).scheme not in ("http", "https"):
            raise RegistryError(f"registry {self._base} asks for an unknown kind of authentication", denied=True)
        parameters = {name: fields[name] for name in ("service", "scope") if name in fields}
        parameters.setdefault("scope", f"repository:{self._reference.repository}:pull")
        if credentials.identity_token:
            form = parameters | {"grant_type": "refresh_token", "refresh_token": credentials.identity_token}
            response = await self._http.post(realm, data=form | {"client_id": "skiff"})
        else:
            login = (credentials.username, credentials.password) if credentials.username else None
            response = await self._http.get(realm, params=parameters, auth=login)
        if response.status_code != 200:
            raise RegistryError(f"the token service {realm} answered {response.status_code}", denied=True)
        document = response.json()
        return f"Bearer {document.get('token') or document.get('access_token') or ''}"

    def _raise_for(self, response: httpx.Response, wanted: str) -> None:
        if response.status_code in (200, 206):
            return
        if response.status_code == 404:
            raise RegistryError(f"{self._reference}: not found", not_found=True)
        if response.status_code in (401, 403):
            raise RegistryError(f"{self._reference}: the registry refuses access ({response.status_code})", denied=True)
        raise RegistryError(f"{self._reference}: the registry answered {response.status_code} for {wanted}")


async def _skipping(chunks: AsyncIterator[bytes], skip: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if skip >= len(chunk):
            skip -= len(chunk)
            continue
        yield chunk[skip:] if skip else chunk
        skip = 0


def _base_url(domain: str, insecure: Sequence[str]) -> str:
    host = DOCKER_HUB if domain == "docker.io" else domain
    plain = domain in insecure or _is_loopback(f"http://{host}")
    return f"{'http' if plain else 'https'}://{host}"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""A docker-registry on loopback for pull tests, and pushing to it."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from kubelet.cri_shim.image_build import MANIFEST_TYPE, BuiltImage
from tests.integration.ports import free_port

# bcrypt of "secret"
HTPASSWD = "tester:$2b$04$8q0SBysNkr7J4pHKQAM/Ie8CQ99MJK/sFjNgA8fXGJYF.C8HNGWdS\n"


@dataclass(frozen=True, slots=True)
class Registry:
    address: str
    folder: Path
    auth: tuple[str, str] | None

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://{self.address}", auth=self.auth, trust_env=False)

    async def push(self, image: BuiltImage, repository: str, tag: str) -> None:
        async with self.client() as client:
            for digest, data in image.blobs.items():
                await push_blob(client, repository, digest, data)
            await push_manifest(client, repository, tag, image.manifest, MANIFEST_TYPE)


async def push_blob(client: httpx.AsyncClient, repository: str, digest: str, data: bytes) -> None:
    upload = await client.post(f"/v2/{repository}/blobs/uploads/")
    assert upload.status_code == 202, upload.text
    location = upload.headers["location"]
    done = await client.put(f"{location}{'&' if '?' in location else '?'}digest={digest}", content=data)
    assert done.status_code == 201, done.text


async def push_manifest(client: httpx.AsyncClient, repository: str, tag: str, body: bytes, media_type: str) -> str:
    path = f"/v2/{repository}/manifests/{tag}"
    done = await client.put(path, content=body, headers={"Content-Type": media_type})
    assert done.status_code == 201, done.text
    return str(done.headers["docker-content-digest"])


def _serve(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)


@asynccontextmanager
async def started_registry(*, password: bool = False) -> AsyncIterator[Registry]:
    with tempfile.TemporaryDirectory(prefix="skreg") as name:
        folder = Path(name)
        address = f"127.0.0.1:{free_port()}"
        text = (
            f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder / 'data'}\nhttp:\n  addr: {address}\n"
        )
        if password:
            (folder / "htpasswd").write_text(HTPASSWD)
            text += f"auth:\n  htpasswd:\n    realm: test\n    path: {folder / 'htpasswd'}\n"
        (folder / "config.yml").write_text(text)
        process = _serve(folder)
        try:
            await _answering(address)
            yield Registry(address, folder, ("tester", "secret") if password else None)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 40)


async def _answering(address: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(600):
            try:
                await client.get(f"http://{address}/v2/")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    raise AssertionError("the registry does not answer")

"""Images: pulling from a registry, loading archives, finding by any name, removing."""

from __future__ import annotations

import base64
import gzip
import io
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from component_base.rpc import Code, RpcError
from kubelet.cri_shim.image_build import (
    CONFIG_TYPE,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    BuiltImage,
    FileEntry,
    build_image,
    digest_of,
    encode_json,
    layer_tar,
    oci_archive,
)
from kubelet.cri_shim.image_load import ArchiveError
from kubelet.cri_shim.image_store import open_images
from kubelet.cri_shim.toolbox_image import find_busybox
from skiff_pb.cri import runtime_pb2 as cri
from tests.integration.cri_shim.node import Node
from tests.integration.cri_shim.registry import Registry, push_blob, push_manifest, started_registry

pytestmark = [
    pytest.mark.root,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def registry() -> AsyncIterator[Registry]:
    async with started_registry() as started:
        yield started


def busybox_layer() -> list[FileEntry]:
    program = Path(find_busybox()).read_bytes()
    return [FileEntry("/bin/busybox", program, 0o755), FileEntry("/bin/sh", link="busybox")]


def small_image(text: str) -> BuiltImage:
    layers = [busybox_layer(), [FileEntry("/note", text.encode())]]
    return build_image("skiff.local/small:1", layers, {"Cmd": ["/bin/busybox", "cat", "/note"]}, "amd64")


async def pull(node: Node, name: str, auth: cri.AuthConfig | None = None) -> str:
    request = cri.PullImageRequest(image=cri.ImageSpec(image=name), auth=auth)
    return str((await node.image("PullImage", request)).image_ref)


async def image_status(node: Node, name: str) -> cri.Image | None:
    answer = await node.image("ImageStatus", cri.ImageStatusRequest(image=cri.ImageSpec(image=name)))
    return answer.image if answer.HasField("image") else None


async def run_once(node: Node, image: str) -> str:
    pod = node.pod_config()
    sandbox = await node.sandbox(pod)
    config = node.container_config([])
    config.image.image = image
    status = await node.exited(await node.run(sandbox, pod, config))
    assert status.exit_code == 0
    text = node.log(pod)
    await node.remove(sandbox)
    return text


async def test_an_image_is_pulled_run_and_removed(node: Node, registry: Registry) -> None:
    image = small_image("pulled")
    await registry.push(image, "team/small", "1")
    name = f"{registry.address}/team/small:1"
    identity = await pull(node, name)
    found = await image_status(node, name)
    assert found is not None
    assert found.id == identity
    assert list(found.repo_tags) == [name]
    assert list(found.repo_digests) == [f"{registry.address}/team/small@{image.manifest_digest}"]
    assert "pulled" in await run_once(node, identity)
    assert "pulled" in await run_once(node, name)
    for spelling in (identity, found.repo_digests[0], identity.removeprefix("sha256:")[:13]):
        assert (await image_status(node, spelling)) is not None, spelling
    await node.image("RemoveImage", cri.RemoveImageRequest(image=cri.ImageSpec(image=name)))
    await node.image("RemoveImage", cri.RemoveImageRequest(image=cri.ImageSpec(image=identity)))
    assert await image_status(node, name) is None
    assert await image_status(node, identity) is None


async def test_an_index_gives_the_manifest_of_this_machine(shim: Node, registry: Registry) -> None:
    ours, other = small_image("ours"), small_image("theirs")
    await registry.push(ours, "multi", "ours")
    await registry.push(other, "multi", "theirs")
    manifests = [
        {
            "mediaType": MANIFEST_TYPE,
            "digest": image.manifest_digest,
            "size": len(image.manifest),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for image, architecture in ((other, "s390x"), (ours, "amd64"))
    ]
    index = encode_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})
    async with registry.client() as client:
        await push_manifest(client, "multi", "latest", index, INDEX_TYPE)
    await pull(shim, f"{registry.address}/multi")
    assert "ours" in await run_once(shim, f"{registry.address}/multi:latest")


async def test_compressed_layers_and_deletions(shim: Node, registry: Registry) -> None:
    base = layer_tar([*busybox_layer(), FileEntry("/note", b"below"), FileEntry("/gone", b"x")])
    top = layer_tar([FileEntry("/note", b"above"), FileEntry("/.wh.gone", b"")])
    packed = [gzip.compress(base, mtime=0), gzip.compress(top, mtime=0)]
    config = encode_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/sh", "-c", "/bin/busybox cat /note; /bin/busybox ls /"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(base), digest_of(top)]},
        }
    )
    layers = [{"mediaType": f"{LAYER_TYPE}+gzip", "digest": digest_of(data), "size": len(data)} for data in packed]
    manifest = encode_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
            "layers": layers,
        }
    )
    async with registry.client() as client:
        for data in (*packed, config):
            await push_blob(client, "packed", digest_of(data), data)
        await push_manifest(client, "packed", "v1", manifest, MANIFEST_TYPE)
    await pull(shim, f"{registry.address}/packed:v1")
    text = await run_once(shim, f"{registry.address}/packed:v1")
    assert "above" in text
    assert "gone" not in text


async def test_what_a_registry_does_not_have_is_not_found(node: Node, registry: Registry) -> None:
    with pytest.raises(RpcError, match="not found") as refused:
        await pull(node, f"{registry.address}/nothing:1")
    assert refused.value.code == Code.NOT_FOUND


async def test_images_of_the_node_itself_need_no_registry(shim: Node) -> None:
    assert await pull(shim, "skiff.local/toolbox") == (await pull(shim, "skiff.local/toolbox:latest"))
    with pytest.raises(RpcError, match="skiff image load") as refused:
        await pull(shim, "skiff.local/none:1")
    assert refused.value.code == Code.NOT_FOUND


async def test_wrong_bytes_are_refused(shim: Node, registry: Registry) -> None:
    image = build_image("x", [[FileEntry("/poisoned", b"good" * 1000)]], {}, "amd64")
    await registry.push(image, "poisoned", "1")
    layer = next(digest for digest, data in image.blobs.items() if b"good" in data)
    stored = next(registry.folder.glob(f"data/**/{layer.removeprefix('sha256:')}/data"))
    stored.write_bytes(stored.read_bytes().replace(b"good", b"evil"))
    with pytest.raises(RpcError, match=r"digest|size"):
        await pull(shim, f"{registry.address}/poisoned:1")
    assert await image_status(shim, f"{registry.address}/poisoned:1") is None


async def test_credentials_open_a_private_registry(node: Node) -> None:
    async with started_registry(password=True) as private:
        await private.push(small_image("private"), "secret", "1")
        name = f"{private.address}/secret:1"
        with pytest.raises(RpcError):
            await pull(node, name)
        with pytest.raises(RpcError):
            await pull(node, name, cri.AuthConfig(username="tester", password="wrong"))
        await pull(node, name, cri.AuthConfig(username="tester", password="secret"))
        packed = base64.b64encode(b"tester:secret").decode()
        assert await pull(node, name, cri.AuthConfig(auth=packed))


async def test_archives_are_loaded(shim: Node, tmp_path: Path) -> None:
    image = build_image(
        "skiff.local/loaded:2", [busybox_layer()], {"Cmd": ["/bin/busybox", "echo", "it runs"]}, "amd64"
    )
    whole = oci_archive(image)
    layout = tmp_path / "layout.tar"
    docker = tmp_path / "docker.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        _copy(archive, layout, without="manifest.json")
        _copy(archive, docker, without="index.json")
    async with open_images(f"unix://{shim.containerd_socket}") as images:
        for path in (layout, docker):
            assert await images.load(str(path)) == ["skiff.local/loaded:2"]
            assert "it runs" in await run_once(shim, "skiff.local/loaded:2")
            request = cri.RemoveImageRequest(image=cri.ImageSpec(image="skiff.local/loaded:2"))
            await shim.image("RemoveImage", request)
            assert "skiff.local/loaded:2" not in [tag for info in await images.all() for tag in info.tags]


async def test_files_that_are_no_archives_are_refused_in_a_sentence(shim: Node, tmp_path: Path) -> None:
    cases = {
        "text": (b"no tar file at all", "is not a tar file"),
        "empty.tar": (layer_tar([FileEntry("/x", b"")]), "neither manifest.json nor index.json"),
        "broken.tar": (layer_tar([FileEntry("/manifest.json", b'[{"Layers": []}]')]), "damaged"),
        "json.tar": (layer_tar([FileEntry("/index.json", b"{")]), "damaged"),
        "hole.tar": (layer_tar([FileEntry("/manifest.json", b'[{"Config": "c.json"}]')]), "does not hold it"),
    }
    async with open_images(f"unix://{shim.containerd_socket}") as images:
        for name, (content, complaint) in cases.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ArchiveError, match=complaint):
                await images.load(str(tmp_path / name))
        with pytest.raises(ArchiveError, match="No such file"):
            await images.load(str(tmp_path / "none"))


async def test_an_image_is_built_on_another(shim: Node, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("built here\n")
    recipe = """
        ARG TEXT=hello
        FROM skiff.local/toolbox
        ARG TEXT
        ENV GREETING="$TEXT you" LEVEL=2
        COPY --chmod=644 site /srv/site
        WORKDIR /srv
        CMD cat site/index.html; echo $GREETING
    """
    async with open_images(f"unix://{shim.containerd_socket}") as images:
        await images.build("skiff.local/built:1", recipe, str(tmp_path), {"TEXT": "hi"})
    text = await run_once(shim, "skiff.local/built:1")
    assert "built here" in text
    assert "hi you" in text


def _copy(archive: tarfile.TarFile, target: Path, without: str) -> None:
    with tarfile.open(target, "w:gz" if target.suffix == ".gz" else "w") as copy:
        for member in archive.getmembers():
            if member.name != without:
                copy.addfile(member, archive.extractfile(member) if member.isreg() else None)


async def test_the_room_images_take_is_told(node: Node) -> None:
    answer = await node.image("ImageFsInfo", cri.ImageFsInfoRequest())
    filesystem = answer.image_filesystems[0]
    # containerd's plugin counts every ten seconds only.
    assert node.own_plugin or filesystem.used_bytes.value > 1_000_000
    assert Path(filesystem.fs_id.mountpoint).is_relative_to(node.folder / "root")


async def test_a_removed_image_does_not_hurt_its_containers(shim: Node, registry: Registry) -> None:
    image = build_image("x", [busybox_layer()], {"Cmd": ["/bin/busybox", "sleep", "1000"]}, "amd64")
    await registry.push(image, "used", "1")
    name = f"{registry.address}/used:1"
    await pull(shim, name)
    pod = shim.pod_config()
    sandbox = await shim.sandbox(pod)
    config = shim.container_config([])
    config.image.image = name
    container = await shim.run(sandbox, pod, config)
    await shim.image("RemoveImage", cri.RemoveImageRequest(image=cri.ImageSpec(image=name)))
    assert (await shim.exec(container, "/bin/busybox", "echo", "alive")).stdout == b"alive\n"
    assert (await shim.status(container)).state == cri.CONTAINER_RUNNING
    await shim.remove(sandbox)

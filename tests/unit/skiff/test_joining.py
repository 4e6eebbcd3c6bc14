"""Joining against an apiserver in the same process: trust by hash first, secrets after, a sentence for each refusal."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from component_base.clock import SystemClock
from component_base.pki import CertificateAuthority, Usage, spki_hash, write_file
from kubeclient.kubeconfig import KubeConfig
from kubeclient.rest import RestClient
from skiff.cluster import addons, certificates, joining, plan
from skiff.cluster.joining import Invitation
from skiff.cluster.layout import Layout
from skiff.cluster.settings import Ports, Settings, SettingsError

TOKEN = "abcdef.0123456789abcdef"
SERVER = "https://10.0.0.1:6443"
CLUSTER = Settings(node_name="cp", node_ip="10.0.0.1", service_cidr="10.97.0.0/16", cluster_domain="lab.local")


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("kubernetes")


def invited(authority: CertificateAuthority) -> Invitation:
    return Invitation(SERVER, TOKEN, spki_hash(authority.certificate_pem))


def client(*answers: tuple[str, int, dict[str, Any]]) -> RestClient:
    """Answers by the end of the path; anything else is 404."""

    def answer(request: httpx.Request) -> httpx.Response:
        for end, code, body in answers:
            if request.url.path.endswith(end):
                return httpx.Response(code, json=body)
        status = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"}
        return httpx.Response(404, json=status)

    return RestClient(KubeConfig(SERVER, token=TOKEN), transport=httpx.MockTransport(answer))


def settings_map() -> tuple[str, int, dict[str, Any]]:
    return "/configmaps/skiff-settings", 200, addons.cluster_settings(CLUSTER)


def test_the_server_may_be_given_without_scheme_and_port() -> None:
    good = "sha256:" + "a" * 64
    assert joining.invitation("10.0.0.1", TOKEN, good).server == SERVER
    assert joining.invitation("https://[fd00::1]:7443/", TOKEN, good).server == "https://[fd00::1]:7443"


@pytest.mark.parametrize(
    ("server", "token", "ca_hash", "flag"),
    [
        ("", TOKEN, "sha256:" + "a" * 64, "--server"),
        ("http://10.0.0.1", TOKEN, "sha256:" + "a" * 64, "--server"),
        ("https://10.0.0.1:x", TOKEN, "sha256:" + "a" * 64, "--server"),
        ("https://10.0.0.1/path", TOKEN, "sha256:" + "a" * 64, "--server"),
        (SERVER, "abc", "sha256:" + "a" * 64, "--token"),
        (SERVER, TOKEN, "sha256:abc", "--ca-hash"),
    ],
)
def test_a_flag_that_cannot_be_right_is_named(server: str, token: str, ca_hash: str, flag: str) -> None:
    with pytest.raises(SettingsError, match=flag):
        joining.invitation(server, token, ca_hash)


def test_the_authority_of_the_right_hash_is_trusted(authority: CertificateAuthority) -> None:
    shown = addons.cluster_info(authority.certificate_pem.decode(), SERVER)
    assert joining.authority_of(shown, invited(authority)) == authority.certificate_pem


def test_another_authority_is_not(authority: CertificateAuthority) -> None:
    shown = addons.cluster_info(CertificateAuthority.create("kubernetes").certificate_pem.decode(), SERVER)
    with pytest.raises(SettingsError, match=r"--ca-hash: .* nothing was sent to it"):
        joining.authority_of(shown, invited(authority))


@pytest.mark.parametrize("data", [{}, {"kubeconfig": "]["}, {"kubeconfig": "clusters: []"}])
def test_a_cluster_info_without_authority_is_refused(authority: CertificateAuthority, data: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="names no certificate authority"):
        joining.authority_of({"data": data}, invited(authority))


async def test_a_worker_learns_the_clusters_settings(authority: CertificateAuthority) -> None:
    learnt = await joining.learn(client(settings_map()), invited(authority), "w", "10.0.0.2")
    assert (learnt.role, learnt.server, learnt.node_ip) == ("worker", SERVER, "10.0.0.2")
    assert (learnt.service_cidr, learnt.cluster_domain) == ("10.97.0.0/16", "lab.local")
    assert learnt.dns_ip == "10.97.0.10"


@pytest.mark.parametrize(("ready", "free"), [("True", False), ("Unknown", True)])
async def test_the_name_of_a_ready_node_is_taken(authority: CertificateAuthority, ready: str, free: bool) -> None:
    node = {"status": {"conditions": [{"type": "Ready", "status": ready}]}}
    asking = joining.learn(client(settings_map(), ("/nodes/w", 200, node)), invited(authority), "w", "10.0.0.2")
    if free:
        assert (await asking).node_name == "w"
    else:
        with pytest.raises(SettingsError, match="--node-name: a node w is in this cluster"):
            await asking


@pytest.mark.parametrize(("code", "sentence"), [(401, "wrong or has expired"), (403, "does not allow joining")])
async def test_a_token_that_is_refused_is_named(authority: CertificateAuthority, code: int, sentence: str) -> None:
    status = {"kind": "Status", "code": code, "reason": "Unauthorized", "message": "no"}
    with pytest.raises(SettingsError, match=f"--token: it .*{sentence}"):
        await joining.learn(client(("skiff-settings", code, status)), invited(authority), "w", "10.0.0.2")


async def test_agents_ask_for_certificates_of_their_own(authority: CertificateAuthority) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            asked.append(json.loads(request.content))
            return httpx.Response(201, json={"metadata": {"name": f"csr-{len(asked)}"}})
        certificate = authority.issue("x").certificate
        return httpx.Response(200, json={"status": {"certificate": base64.b64encode(certificate).decode()}})

    api = RestClient(KubeConfig(SERVER, token=TOKEN), transport=httpx.MockTransport(answer))
    made = await joining.obtain_agents(api, SERVER, authority.certificate_pem, SystemClock())
    assert sorted(made) == ["cluster-dns.conf", "kube-proxy.conf"]
    assert {body["spec"]["signerName"] for body in asked} == {"kubernetes.io/kube-apiserver-client"}
    assert all(body["spec"]["usages"] == ["digital signature", "client auth"] for body in asked)
    document = yaml.safe_load(made["kube-proxy.conf"])
    assert document["clusters"][0]["cluster"]["server"] == SERVER


def test_a_worker_runs_only_what_a_worker_needs(tmp_path: Path) -> None:
    wanted = joining.worker_settings(addons.cluster_settings(CLUSTER)["data"], SERVER, "w", "10.0.0.2")
    processes = {process.name: process for process in plan.processes(wanted, Layout.of(tmp_path))}
    assert sorted(processes) == ["cluster_dns", "containerd", "cri_shim", "kube_proxy", "kubelet"]
    assert f"--bootstrap-kubeconfig={tmp_path}/kubeconfig/bootstrap-kubelet.conf" in processes["kubelet"].argv


def test_files_of_a_worker_keep_the_token_private(tmp_path: Path, authority: CertificateAuthority) -> None:
    layout = Layout.of(tmp_path)
    bootstrap = certificates.kubeconfig(SERVER, authority.certificate_pem, token=TOKEN)
    joining.write(layout, authority.certificate_pem, {"kube-proxy.conf": b"x"}, bootstrap)
    assert (layout.pki / "ca.crt").read_bytes() == authority.certificate_pem
    assert (layout.kubeconfigs / "bootstrap-kubelet.conf").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "Under_score", "UPPER"])
def test_a_name_that_no_node_can_have_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="--node-name"):
        joining.worker_settings(addons.cluster_settings(CLUSTER)["data"], SERVER, name, "10.0.0.2")


async def test_a_certificate_for_another_name_is_explained(authority: CertificateAuthority, tmp_path: Path) -> None:
    files = tmp_path / "server.crt", tmp_path / "server.key"
    authority.issue("kube-apiserver", ips=["10.0.0.1"], usages=Usage.SERVER).write(*files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    api = RestClient(KubeConfig(url, authority.certificate_pem, token=TOKEN))
    asked = Invitation(url, TOKEN, spki_hash(authority.certificate_pem))
    try:
        with pytest.raises(SettingsError, match=r"--server: .*`skiff up --apiserver-name 127.0.0.1`"):
            await joining.learn(api, asked, "w", "10.0.0.2")
    finally:
        server.close()
        await api.close()


async def test_a_kubelet_counts_as_serving_once_its_certificate_is_the_clusters(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    layout = Layout.of(tmp_path)
    write_file(layout.pki / "ca.crt", authority.certificate_pem, 0o644)
    verdicts = {}
    for name, signer in (("own", CertificateAuthority.create("self")), ("cluster", authority)):
        files = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        signer.issue("system:node:w", ips=["127.0.0.1"], usages=Usage.SERVER).write(*files)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        ports = Ports(kubelet=server.sockets[0].getsockname()[1])
        node = Settings(node_name="w", node_ip="127.0.0.1", role="worker", ports=ports)
        verdicts[name] = await joining.serves_verified(node, layout, SystemClock(), 0.2)
        server.close()
    assert verdicts == {"own": False, "cluster": True}

"""Who a request comes from, by each kind of proof."""

import base64
import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from apimachinery import timestamps
from apimachinery.errors import StatusError
from apiserver import authn, authz, tokens
from apiserver.authn import jwt
from apiserver.authn.chain import RequestAuthenticator
from apiserver.ports import ANONYMOUS, Attributes, Call, Credentials, User, Verdict
from component_base.clock import ManualClock
from component_base.flags import FlagSet, Values
from component_base.pki import CertificateAuthority, Usage, signing_key_pair
from tests.unit.apiserver.memory_objects import START, MemoryObjects, info

ISSUER = "https://kubernetes.default.svc.cluster.local"


def values_of(*arguments: str) -> Values:
    flags = FlagSet("apiserver", "")
    for package in (authn, authz, tokens):
        package.declare(flags)
    return flags.parse_or_raise(arguments)


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def bearer(token: str) -> Credentials:
    return Credentials({"authorization": f"Bearer {token}"})


async def refused(chain: RequestAuthenticator, credentials: Credentials) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await chain.authenticate(credentials)
    return caught.value


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects(ManualClock(START))


@pytest.fixture
def clock(objects: MemoryObjects) -> ManualClock:
    assert isinstance(objects.clock, ManualClock)
    return objects.clock


class TestCertificates:
    @pytest.fixture
    def authority(self, clock: ManualClock) -> CertificateAuthority:
        return CertificateAuthority.create("ca", clock=clock)

    @pytest.fixture
    def proxies(self, clock: ManualClock) -> CertificateAuthority:
        return CertificateAuthority.create("front-proxy-ca", clock=clock)

    @pytest.fixture
    def chain(
        self,
        authority: CertificateAuthority,
        proxies: CertificateAuthority,
        tmp_path: Path,
        objects: MemoryObjects,
        clock: ManualClock,
    ) -> RequestAuthenticator:
        (tmp_path / "ca.crt").write_bytes(authority.certificate_pem)
        (tmp_path / "proxy.crt").write_bytes(proxies.certificate_pem)
        values = values_of(
            f"--client-ca-file={tmp_path / 'ca.crt'}",
            f"--requestheader-client-ca-file={tmp_path / 'proxy.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
        )
        return authn.build(values, objects, clock)

    async def test_names_user_and_groups(self, chain: RequestAuthenticator, authority: CertificateAuthority) -> None:
        pair = authority.issue("jane", ["dev", "ops"])
        user = await chain.authenticate(Credentials({}, der(pair.certificate)))
        assert user is not None
        assert (user.name, user.groups) == ("jane", ("dev", "ops", "system:authenticated"))
        assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")

    async def test_an_expired_one_is_refused_on_a_living_connection(
        self, chain: RequestAuthenticator, authority: CertificateAuthority, clock: ManualClock
    ) -> None:
        credentials = Credentials({}, der(authority.issue("jane", days=1).certificate))
        assert await chain.authenticate(credentials)
        clock.advance(2 * 86400)
        assert (await refused(chain, credentials)).code == 401

    async def test_authorities_can_be_exchanged(
        self, chain: RequestAuthenticator, authority: CertificateAuthority, tmp_path: Path, clock: ManualClock
    ) -> None:
        old = Credentials({}, der(authority.issue("jane").certificate))
        other = CertificateAuthority.create("ca2", clock=clock)
        new = Credentials({}, der(other.issue("joe").certificate))
        assert await chain.authenticate(new) == ANONYMOUS
        (tmp_path / "ca.crt").write_bytes(other.certificate_pem)
        os.utime(tmp_path / "ca.crt", (START, START))
        clock.advance(11)
        user = await chain.authenticate(new)
        assert user is not None
        assert user.name == "joe"
        assert await chain.authenticate(old) == ANONYMOUS
        (tmp_path / "ca.crt").write_text("broken")
        clock.advance(11)
        assert await chain.authenticate(new) != ANONYMOUS

    async def test_a_server_certificate_is_none_of_a_client(
        self, chain: RequestAuthenticator, authority: CertificateAuthority
    ) -> None:
        pair = authority.issue("kubelet", usages=Usage.SERVER)
        assert (await refused(chain, Credentials({}, der(pair.certificate)))).code == 401

    async def test_a_proxy_vouches_for_others(self, chain: RequestAuthenticator, proxies: CertificateAuthority) -> None:
        headers = {
            "x-remote-user": "joe",
            "x-remote-group": "a\ncn=b,ou=c",
            "x-remote-extra-scopes%2fread": "pods",
        }
        certificate = der(proxies.issue("front-proxy-client").certificate)
        user = await chain.authenticate(Credentials(headers, certificate))
        assert user is not None
        assert (user.name, user.groups) == ("joe", ("a", "cn=b,ou=c", "system:authenticated"))
        assert user.extra == {"scopes/read": ("pods",)}

    async def test_a_proxy_of_another_name_does_not(
        self, chain: RequestAuthenticator, proxies: CertificateAuthority
    ) -> None:
        certificate = der(proxies.issue("somebody").certificate)
        assert (await refused(chain, Credentials({"x-remote-user": "joe"}, certificate))).code == 401

    async def test_an_ordinary_client_cannot_use_a_proxys_headers(
        self, chain: RequestAuthenticator, authority: CertificateAuthority
    ) -> None:
        certificate = der(authority.issue("front-proxy-client").certificate)
        user = await chain.authenticate(Credentials({"x-remote-user": "admin"}, certificate))
        assert user is not None
        assert user.name == "front-proxy-client"

    async def test_nothing_is_anonymous(self, chain: RequestAuthenticator) -> None:
        assert await chain.authenticate(Credentials({})) == ANONYMOUS


async def test_token_file(tmp_path: Path, objects: MemoryObjects, clock: ManualClock) -> None:
    file = tmp_path / "tokens.csv"
    with file.open("w") as out:
        csv.writer(out).writerows([["s3cret", "admin", "1", "system:masters,ops"], ["other", "joe", "2"]])
    chain = authn.build(values_of(f"--token-auth-file={file}"), objects, clock)
    user = await chain.authenticate(bearer("s3cret"))
    assert user == User("admin", ("system:masters", "ops", "system:authenticated"), "1")
    error = await refused(chain, bearer("wrong"))
    assert (error.code, error.reason, error.message) == (401, "Unauthorized", "Unauthorized")


async def test_a_token_file_with_too_few_columns_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"tokens.csv:1: a line needs"):
        authn.build(values_of(f"--token-auth-file={tmp_path / 'tokens.csv'}"), MemoryObjects(), ManualClock())


async def test_without_anonymous_requests(objects: MemoryObjects, clock: ManualClock) -> None:
    chain = authn.build(values_of("--anonymous-auth=false"), objects, clock)
    assert (await refused(chain, Credentials({}))).code == 401


class TestBootstrapTokens:
    def secret(self, objects: MemoryObjects, **data: str) -> None:
        fields = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in {**fields, **data}.items()}
        objects.put(
            "secrets", "bootstrap-token-abcdef", "kube-system", type="bootstrap.kubernetes.io/token", data=encoded
        )

    async def ask(self, objects: MemoryObjects, token: str = "abcdef.0123456789abcdef") -> User | None:
        chain = authn.build(values_of("--enable-bootstrap-token-auth"), objects, objects.clock)
        return await chain.authenticate(bearer(token))

    async def test_is_a_bootstrapper(self, objects: MemoryObjects) -> None:
        extra = "system:bootstrappers:skiff:default-node-token"
        self.secret(objects, **{"auth-extra-groups": extra})
        user = await self.ask(objects)
        assert user is not None
        assert user.name == "system:bootstrap:abcdef"
        assert user.groups == ("system:bootstrappers", extra, "system:authenticated")

    @pytest.mark.parametrize(
        "data",
        [
            {"token-secret": "ffffffffffffffff"},
            {"usage-bootstrap-authentication": "false"},
            {"expiration": timestamps.format(START - 1)},
            {"auth-extra-groups": "system:masters"},
        ],
    )
    async def test_is_refused(self, objects: MemoryObjects, data: dict[str, str]) -> None:
        self.secret(objects, **data)
        with pytest.raises(StatusError):
            await self.ask(objects)


class Cluster:
    """An apiserver's keys, and a ServiceAccount with a pod on a node."""

    def __init__(self, objects: MemoryObjects, folder: Path) -> None:
        self.objects = objects
        self.values = values_of(
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
        )
        self.chain = authn.build(self.values, objects, objects.clock)
        authorizer = authz.build(self.values, objects)
        self.key = jwt.load_private_key(folder / "sa.key")
        self.tokens = tokens.build(
            self.values, objects, self.chain, authorizer, objects.clock, external_address="10.0.0.1:6443"
        )
        objects.put("serviceaccounts", "app", "web")
        objects.put("nodes", "n1")
        objects.put("pods", "p", "web", spec={"serviceAccountName": "app", "nodeName": "n1"})

    async def request(self, spec: Mapping[str, Any], name: str = "app") -> dict[str, Any]:
        call = Call(info("serviceaccounts"), "token", "web", name, "create", "", User("admin"), query=(), headers={})
        return await self.tokens.answerers["serviceaccounts", "token"](call, {"spec": dict(spec)})

    async def review(self, token: str, *audiences: str) -> dict[str, Any]:
        call = Call(info("tokenreviews", "authentication.k8s.io"), "", "", "", "create", "", User("k"), (), {})
        body = {"spec": {"token": token, "audiences": list(audiences)}}
        answer = await self.tokens.answerers["tokenreviews", ""](call, body)
        return dict(answer["status"])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    pair = CertificateAuthority.create("keys").pair()  # ECDSA keys are made and read much faster than RSA ones
    (folder / "sa.key").write_bytes(pair.key)
    (folder / "sa.pub").write_bytes(pair.certificate)
    return folder


@pytest.fixture
def cluster(objects: MemoryObjects, keys: Path) -> Cluster:
    return Cluster(objects, keys)


BOUND = {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p"}}


class TestServiceAccountTokens:
    async def test_a_bound_token_tells_everything(self, cluster: Cluster) -> None:
        answer = await cluster.request({**BOUND, "expirationSeconds": 600})
        assert answer["status"]["expirationTimestamp"] == timestamps.format(START + 600)
        user = await cluster.chain.authenticate(bearer(answer["status"]["token"]))
        assert user is not None
        assert user.name == "system:serviceaccount:web:app"
        assert user.uid == "uid-app"
        assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated")
        prefix = "authentication.kubernetes.io/"
        assert user.extra[f"{prefix}pod-name"] == ("p",)
        assert user.extra[f"{prefix}node-name"] == ("n1",)
        assert user.extra[f"{prefix}node-uid"] == ("uid-n1",)
        assert user.extra[f"{prefix}credential-id"][0].startswith("JTI=")

    async def test_ends_with_its_time_its_pod_and_its_account(self, cluster: Cluster, clock: ManualClock) -> None:
        token = (await cluster.request({**BOUND, "expirationSeconds": 600}))["status"]["token"]
        clock.advance(600 + 61)
        assert (await cluster.review(token))["error"] == "service account token has expired"
        token = (await cluster.request(BOUND))["status"]["token"]
        await cluster.objects.delete(info("pods"), "web", "p")
        assert (await cluster.review(token))["error"] == "service account token has been invalidated"
        token = (await cluster.request({}))["status"]["token"]
        cluster.objects.put("serviceaccounts", "app", "web", metadata={"uid": "another"})
        assert "does not match claim (uid-app)" in (await cluster.review(token))["error"]

    async def test_a_pod_that_the_cache_has_not_seen_yet(self, cluster: Cluster) -> None:
        token = (await cluster.request(BOUND))["status"]["token"]
        cluster.objects.hidden = {"p", "app"}
        assert (await cluster.review(token))["authenticated"]

    async def test_audiences(self, cluster: Cluster) -> None:
        token = (await cluster.request({"audiences": ["vault"]}))["status"]["token"]
        assert (await refused(cluster.chain, bearer(token))).code == 401
        status = await cluster.review(token, "vault", "other")
        assert status["audiences"] == ["vault"]
        assert status["user"]["username"] == "system:serviceaccount:web:app"

    async def test_tokens_that_pods_mount_live_a_year_and_warn(self, cluster: Cluster) -> None:
        answer = await cluster.request({**BOUND, "expirationSeconds": 3607})
        claims = jwt.parse(answer["status"]["token"])
        assert claims is not None
        assert claims.claims["exp"] - claims.claims["iat"] == 365 * 86400
        assert claims.claims["kubernetes.io"]["warnafter"] == START + 3607
        assert answer["status"]["expirationTimestamp"] == timestamps.format(START + 3607)

    @pytest.mark.parametrize(
        ("spec", "code", "text"),
        [
            ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
            ({"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}}, 400, "cannot bind token to"),
            ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}, 404, 'pods "x" not found'),
            (
                {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "old"}},
                409,
                "the UID in the bound object reference (old) does not match",
            ),
        ],
    )
    async def test_requests_that_are_wrong(self, cluster: Cluster, spec: dict[str, Any], code: int, text: str) -> None:
        with pytest.raises(StatusError) as caught:
            await cluster.request(spec)
        assert caught.value.code == code
        assert text in caught.value.message

    async def test_a_token_of_another_key_is_refused(self, cluster: Cluster, tmp_path: Path) -> None:
        (tmp_path / "other.key").write_bytes(signing_key_pair()[0])
        token = (await cluster.request({}))["status"]["token"]
        parsed = jwt.parse(token)
        assert parsed is not None
        forged = jwt.sign(parsed.claims, jwt.load_private_key(tmp_path / "other.key"))
        assert (await cluster.review(forged))["error"] == "invalid signature"
        header = jwt.encode_segment(b'{"alg":"none"}')
        unsigned = ".".join([header, token.split(".")[1], ""])
        assert (await cluster.review(unsigned))["error"] == "invalid signature"

    @pytest.mark.parametrize("payload", [b'{"iss":["a"]}', b'{"iss":1}', b"[]", b"{", b"[" * 100_000, b"\xff"])
    async def test_what_is_no_token_of_ours_is_refused(self, cluster: Cluster, payload: bytes) -> None:
        segments = [jwt.encode_segment(part) for part in (b'{"alg":"ES256"}', payload, b"x")]
        assert (await refused(cluster.chain, bearer(".".join(segments)))).code == 401

    async def test_a_token_kept_in_a_secret(self, cluster: Cluster) -> None:
        prefix = "kubernetes.io/serviceaccount/"
        token = jwt.sign(
            {
                "iss": "kubernetes/serviceaccount",
                f"{prefix}namespace": "web",
                f"{prefix}secret.name": "app-token",
                f"{prefix}service-account.name": "app",
                f"{prefix}service-account.uid": "uid-app",
                "sub": "system:serviceaccount:web:app",
            },
            cluster.key,
        )
        assert (await cluster.review(token))["error"] == "Token has been invalidated"
        data = {"token": base64.b64encode(token.encode()).decode()}
        secret = cluster.objects.put("secrets", "app-token", "web", data=data)
        user = await cluster.chain.authenticate(bearer(token))
        assert user is not None
        assert user.name == "system:serviceaccount:web:app"
        stored = await cluster.objects.get_latest(info("secrets"), "web", "app-token")
        assert stored is not None
        assert stored["metadata"]["labels"] == {"kubernetes.io/legacy-token-last-used": "2023-11-14"}
        cluster.objects.put("secrets", "app-token", "web", data={"token": secret["data"]["token"][:-8]})
        assert (await cluster.review(token))["error"] == "Token does not match server's copy"

    async def test_documents_let_others_verify(self, cluster: Cluster) -> None:
        configuration = json.loads(cluster.tokens.documents["/.well-known/openid-configuration"].body)
        assert configuration["issuer"] == ISSUER
        assert configuration["jwks_uri"] == "https://10.0.0.1:6443/openid/v1/jwks"
        document = cluster.tokens.documents["/openid/v1/jwks"]
        assert document.content_type == "application/jwk-set+json"
        token = (await cluster.request({}))["status"]["token"]
        key = pyjwt.PyJWKSet.from_json(document.body.decode()).keys[0]
        claims = pyjwt.decode(token, key, algorithms=["ES256"], audience=ISSUER, options={"verify_exp": False})
        assert claims["sub"] == "system:serviceaccount:web:app"


def test_rsa_keys_sign_too(tmp_path: Path) -> None:
    private, public = signing_key_pair()
    (tmp_path / "sa.key").write_bytes(private)
    (tmp_path / "sa.pub").write_bytes(public)
    token = jwt.parse(jwt.sign({"sub": "x"}, jwt.load_private_key(tmp_path / "sa.key")))
    assert token is not None
    assert token.header["alg"] == "RS256"
    assert jwt.verified(token, jwt.load_public_keys(tmp_path / "sa.pub"))


class Granting:
    """Allows what it was told to."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self.allowed = allowed

    async def authorize(self, attributes: Attributes) -> tuple[Verdict, str]:
        found = (attributes.resource, attributes.name) in self.allowed
        return (Verdict.ALLOW if found else Verdict.NO_OPINION), ""


class TestImpersonation:
    async def test_each_part_needs_a_right(self) -> None:
        headers = {"impersonate-user": "jane", "impersonate-group": "dev\nops", "impersonate-extra-team": "a"}
        allowed = Granting(("users", "jane"), ("groups", "dev"), ("groups", "ops"), ("userextras", "a"))
        user = await authn.impersonate(User("admin"), headers, allowed)
        assert user == User("jane", ("dev", "ops", "system:authenticated"), "", {"team": ("a",)})
        with pytest.raises(StatusError) as caught:
            await authn.impersonate(User("admin"), headers, Granting(("users", "jane"), ("groups", "dev")))
        assert caught.value.message == (
            'groups "ops" is forbidden: User "admin" cannot impersonate resource "groups" in API group "" '
            "at the cluster scope"
        )

    async def test_a_service_account_brings_its_groups(self) -> None:
        headers = {"impersonate-user": "system:serviceaccount:web:app"}
        user = await authn.impersonate(User("admin"), headers, Granting(("serviceaccounts", "app")))
        assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated")

    async def test_groups_alone_mean_nothing(self) -> None:
        with pytest.raises(StatusError) as caught:
            await authn.impersonate(User("admin"), {"impersonate-group": "dev"}, Granting())
        assert caught.value.code == 400

    async def test_without_headers_nothing_changes(self) -> None:
        admin = User("admin")
        assert await authn.impersonate(admin, {"accept": "*/*"}, Granting()) is admin

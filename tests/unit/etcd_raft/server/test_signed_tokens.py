"""JSON web tokens: whose they are, when they end, and which keys they are made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from component_base.clock import ManualClock
from component_base.rng import seeded
from component_base.rpc import Code, RpcError
from etcd_raft import settings
from etcd_raft.auth.signed import SignedTokens, SigningError, SigningOptions, parse_token_flag
from etcd_raft.machine import StoreMachine
from etcd_raft.ports import Refusal
from etcd_raft.server.access import Access, Limits
from etcd_raft.server.auth import AuthService
from etcd_raft.server.kv import KvService
from skiff_pb.etcd import rpc_pb2
from tests.unit.etcd_raft.server.single_node import Caller as Context
from tests.unit.etcd_raft.server.single_node import SingleNode

START = 1_700_000_000.0


def write_pair(folder: Path, private: Any, name: str = "key") -> tuple[Path, Path]:
    """The private key's file and the public one's."""
    files = folder / f"{name}.pem", folder / f"{name}.pub"
    files[0].write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[1].write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return files


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path, ec.generate_private_key(ec.SECP256R1()))


def refusal(tokens: SignedTokens, token: str) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        tokens.caller(token)
    return caught.value.code, caught.value.message


INVALID = (16, "etcdserver: invalid auth token")


def test_every_method_signs_what_it_verifies(tmp_path: Path) -> None:
    clock, secret = ManualClock(START), tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef" * 4)
    large = rsa.generate_private_key(65537, 2048)
    keys = {
        "HS256": secret,
        "RS384": write_pair(tmp_path, large, "rsa")[0],
        "PS512": write_pair(tmp_path, large, "pss")[0],
        "ES384": write_pair(tmp_path, ec.generate_private_key(ec.SECP384R1()), "ec")[0],
        "EdDSA": write_pair(tmp_path, ed25519.Ed25519PrivateKey.generate(), "ed")[0],
    }
    for method, file in keys.items():
        tokens = SignedTokens(SigningOptions(method, None, file), clock)
        token = tokens.issue("ann", 7)
        assert jwt.get_unverified_header(token)["alg"] == method
        caller = tokens.caller(token)
        assert (caller.user, caller.revision) == ("ann", 7)


def test_a_token_ends_by_its_time(pair: tuple[Path, Path]) -> None:
    clock = ManualClock(START)
    tokens = SignedTokens(SigningOptions("ES256", None, pair[0], 60.0), clock)
    token = tokens.issue("ann", 1)
    clock.advance(59.0)
    assert tokens.caller(token).user == "ann"
    clock.advance(1.0)
    assert refusal(tokens, token) == INVALID


def test_tokens_of_strangers_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    clock = ManualClock(START)
    tokens = SignedTokens(SigningOptions("ES256", None, pair[0]), clock)
    other = ec.generate_private_key(ec.SECP256R1())
    own = pair[0].read_bytes()
    claims = {"username": "root", "revision": 1, "exp": int(START) + 60}
    for token in (
        "",
        "a.b.c",
        tokens.issue("ann", 1)[:-4] + "AAAA",
        jwt.encode(claims, other, "ES256"),
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, pair[1].read_bytes().hex(), "HS256"),
        jwt.encode({**claims, "username": 7}, own, "ES256"),
        jwt.encode({**claims, "revision": "1"}, own, "ES256"),
        jwt.encode({**claims, "nbf": int(START) + 30}, own, "ES256"),
        jwt.encode({"exp": int(START) + 60}, own, "ES256"),
    ):
        assert refusal(tokens, token) == INVALID
    # As in etcd, who signs a token elsewhere may leave out when it ends.
    assert tokens.caller(jwt.encode({"username": "ann", "revision": 1}, own, "ES256")).user == "ann"


def test_a_public_key_alone_verifies_and_does_not_sign(pair: tuple[Path, Path]) -> None:
    clock = ManualClock(START)
    tokens = SignedTokens(SigningOptions("ES256", pair[1]), clock)
    both = SignedTokens(SigningOptions("ES256", pair[1], pair[0]), clock)
    assert tokens.caller(both.issue("ann", 3)).revision == 3
    with pytest.raises(Refusal, match="auth: token signing attempted with verify-only key") as caught:
        tokens.issue("ann", 3)
    assert caught.value.code == 2


def test_keys_that_do_not_fit_are_told_by_file(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write_pair(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    empty = tmp_path / "empty"
    empty.write_text("")
    for options, words in (
        (SigningOptions("ES256"), "ES256 needs a key"),
        (SigningOptions("HS256", pair[1]), "HS256 needs a secret"),
        (SigningOptions("RS256", None, pair[0]), "key.pem holds no key for RS256"),
        (SigningOptions("ES384", None, pair[0]), "key.pem holds no key for ES384"),
        (SigningOptions("ES256", other[1], pair[0]), "is not the public key of"),
        (SigningOptions("ES256", pair[0]), "holds a private key; give it as priv-key"),
        (SigningOptions("ES256", None, pair[1]), "holds a public key"),
        (SigningOptions("ES256", None, empty), "is empty"),
    ):
        with pytest.raises(SigningError, match=words):
            SignedTokens(options, ManualClock(START))


def test_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    found = parse_token_flag("jwt,sign-method=RS256,pub-key=/a,priv-key=/b,ttl=10m")
    assert found == SigningOptions("RS256", Path("/a"), Path("/b"), 600.0)
    assert parse_token_flag("simple") is None
    for text, words in (
        ("jwt", "needs sign-method"),
        ("jwt,sign-method=none", "needs sign-method"),
        ("jwt,sign-method=RS256,sign-method=ES256", "twice"),
        ("jwt,sign-method", "not of the form"),
        ("jwt,sign-method=RS256,ttl=soon", "ttl"),
        ("jwt,sign-methods=RS256", "no option of jwt"),
        ("paseto", "no kind of token"),
    ):
        with pytest.raises(SystemExit):
            settings.parse([f"--auth-token={text}"])
        told = capsys.readouterr().err
        assert told.startswith("etcd_raft: --auth-token: ")
        assert words in told


async def test_users_of_a_member_that_signs(pair: tuple[Path, Path]) -> None:
    """A change of the accounts ends every token, since each names the table's revision; so it is in etcd."""
    store, clock = StoreMachine(), ManualClock(START)
    access = Access(SingleNode(store), store, Limits(), SignedTokens(SigningOptions("ES256", None, pair[0]), clock))
    auth, kv, nobody = AuthService(access, seeded(1)), KvService(access), Context()
    await auth.user_add(rpc_pb2.AuthUserAddRequest(name="root", password="p"), nobody)
    await auth.user_grant_role(rpc_pb2.AuthUserGrantRoleRequest(user="root", role="root"), nobody)
    await auth.auth_enable(rpc_pb2.AuthEnableRequest(), nobody)
    request = rpc_pb2.AuthenticateRequest(name="root", password="p")

    async def log_in() -> Context:
        return Context(token=rpc_pb2.AuthenticateResponse.FromString(await auth.authenticate(request, nobody)).token)

    root = await log_in()
    await kv.put(rpc_pb2.PutRequest(key=b"k"), root)
    await auth.user_add(rpc_pb2.AuthUserAddRequest(name="ann", password="p"), root)
    with pytest.raises(RpcError) as caught:
        await kv.put(rpc_pb2.PutRequest(key=b"k"), root)
    assert (caught.value.code, caught.value.message) == (
        Code.INVALID_ARGUMENT,
        "etcdserver: revision of auth store is old",
    )
    await kv.put(rpc_pb2.PutRequest(key=b"k"), await log_in())

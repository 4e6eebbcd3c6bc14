"""The flags of authentication and the chain that they make."""

from __future__ import annotations

from apiserver.authn import jwt
from apiserver.authn.bootstrap_token import BootstrapTokens
from apiserver.authn.certificates import AuthorityFile, AuthorityPool, ClientCertificates
from apiserver.authn.chain import BearerToken, RequestAuthenticator, TokenAuthenticator, TokenChain
from apiserver.authn.request_header import HeaderNames, RequestHeader
from apiserver.authn.service_account import Keys, ServiceAccountTokens
from apiserver.authn.token_file import TokenFile
from apiserver.authn.webhook import VERSIONS, TokenWebhook
from apiserver.ports import Authenticator, Objects
from apiserver.webhooks.reviews import ReviewClient
from component_base.clock import Clock
from component_base.flags import FlagSet, Values


def declare(flags: FlagSet) -> None:
    flags.boolean("anonymous-auth", True, "requests without credentials are system:anonymous instead of refused")
    flags.string("client-ca-file", "", "PEM authorities of client certificates; the common name is the user")
    flags.string("requestheader-client-ca-file", "", "PEM authorities of proxies whose identity headers are believed")
    flags.strings("requestheader-allowed-names", (), "common names that such a proxy may have; empty: any")
    flags.strings("requestheader-username-headers", ("X-Remote-User",), "headers that hold the user's name")
    flags.strings("requestheader-uid-headers", (), "headers that hold the user's uid")
    flags.strings("requestheader-group-headers", ("X-Remote-Group",), "headers that hold the user's groups")
    flags.strings("requestheader-extra-headers-prefix", ("X-Remote-Extra-",), "prefixes of extra identity headers")
    flags.string("token-auth-file", "", 'CSV of static tokens: token,user,uid,"group1,group2"')
    flags.boolean(
        "enable-bootstrap-token-auth", False, "accept tokens of Secrets of type bootstrap.kubernetes.io/token"
    )
    flags.strings("service-account-issuer", (), "issuer of ServiceAccount tokens; the first signs, all are accepted")
    flags.strings("service-account-key-file", (), "PEM keys that verify ServiceAccount tokens")
    flags.boolean("service-account-lookup", True, "tokens kept in Secrets end with their Secret")
    flags.string("authentication-token-webhook-config-file", "", "kubeconfig of the server that knows tokens")
    flags.string("authentication-token-webhook-version", "v1beta1", "of the TokenReviews sent: v1 or v1beta1")
    flags.duration("authentication-token-webhook-cache-ttl", 120, "how long that server's answers are remembered")
    flags.strings("api-audiences", (), "audiences that are this API; the issuer by default")


def build(values: Values, objects: Objects, clock: Clock) -> RequestAuthenticator:
    """Raises FileNotFoundError or ValueError that name the file which is missing or wrong."""
    members: list[Authenticator] = []
    if values["requestheader-client-ca-file"]:
        pool = AuthorityPool(AuthorityFile(values["requestheader-client-ca-file"], clock), clock)
        members.append(RequestHeader(pool, values["requestheader-allowed-names"], header_names(values)))
    if values["client-ca-file"]:
        members.append(ClientCertificates(AuthorityPool(AuthorityFile(values["client-ca-file"], clock), clock)))
    tokens = TokenChain(token_members(values, objects, clock))
    members.append(BearerToken(tokens))
    return RequestAuthenticator(members, tokens, values["anonymous-auth"])


def token_members(values: Values, objects: Objects, clock: Clock) -> list[TokenAuthenticator]:
    members: list[TokenAuthenticator] = []
    if values["token-auth-file"]:
        members.append(TokenFile(values["token-auth-file"]))
    if values["service-account-key-file"]:
        verification = [key for path in values["service-account-key-file"] for key in jwt.load_public_keys(path)]
        keys = Keys(verification, values["service-account-issuer"], audiences(values))
        members.append(ServiceAccountTokens(keys, objects, clock, values["service-account-lookup"]))
    if values["enable-bootstrap-token-auth"]:
        members.append(BootstrapTokens(objects, clock))
    if path := values["authentication-token-webhook-config-file"]:
        version = values["authentication-token-webhook-version"]
        if version not in VERSIONS:
            raise ValueError(f"--authentication-token-webhook-version: {version!r} is not one of {', '.join(VERSIONS)}")
        seconds = values["authentication-token-webhook-cache-ttl"]
        members.append(TokenWebhook(ReviewClient(path, clock), version, audiences(values), clock, seconds))
    return members


def audiences(values: Values) -> tuple[str, ...]:
    """What a token must be meant for to be good here."""
    if values["api-audiences"]:
        return tuple(values["api-audiences"])
    return tuple(values["service-account-issuer"][:1])


def header_names(values: Values) -> HeaderNames:
    def lower(name: str) -> tuple[str, ...]:
        return tuple(text.lower() for text in values[name])

    return HeaderNames(
        lower("requestheader-username-headers"),
        lower("requestheader-uid-headers"),
        lower("requestheader-group-headers"),
        lower("requestheader-extra-headers-prefix"),
    )


def client_ca_files(values: Values) -> tuple[str, ...]:
    """The files whose authorities TLS must accept client certificates from."""
    return tuple(filter(None, (values["client-ca-file"], values["requestheader-client-ca-file"])))

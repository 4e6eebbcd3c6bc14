"""The flags about signing tokens, and all answerers together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apimachinery import errors
from apiserver.authn import jwt
from apiserver.authn.chain import RequestAuthenticator
from apiserver.authn.options import audiences
from apiserver.authz.modes import ModeAuthorizer
from apiserver.ports import JSON, Admission, Answerer, Call, Objects
from apiserver.tokens import documents
from apiserver.tokens.access import SelfSubjectAccessReviews, SelfSubjectRulesReviews, SubjectAccessReviews
from apiserver.tokens.documents import Document
from apiserver.tokens.request import Issuer, TokenRequests
from apiserver.tokens.review import SelfSubjectReviews, TokenReviews
from component_base.clock import Clock
from component_base.flags import FlagSet, Values
from component_base.rng import Rng, system_rng


def declare(flags: FlagSet) -> None:
    flags.string("service-account-signing-key-file", "", "PEM private key that signs ServiceAccount tokens")
    flags.duration("service-account-max-token-expiration", 0, "longest life of a token; 0: no limit")
    flags.boolean("service-account-extend-token-expiration", True, "tokens that pods mount stay valid for a year")
    flags.string("service-account-jwks-uri", "", "where others find our keys; by default this apiserver's address")


@dataclass(frozen=True, slots=True)
class Tokens:
    """`answerers` by (plural, subresource), `documents` by path."""

    answerers: Mapping[tuple[str, str], Answerer]
    documents: Mapping[str, Document]


def build(
    values: Values,
    objects: Objects,
    authenticator: RequestAuthenticator,
    authorizer: ModeAuthorizer,
    clock: Clock,
    external_address: str,
    rng: Rng | None = None,
    admission: Admission | None = None,
) -> Tokens:
    """`external_address` is host:port of this apiserver. Raises FileNotFoundError, ValueError naming what is wrong."""
    issuers = values["service-account-issuer"]
    answerers: dict[tuple[str, str], Answerer] = {
        ("tokenreviews", ""): TokenReviews(authenticator.tokens, audiences(values)),
        ("selfsubjectreviews", ""): SelfSubjectReviews(clock),
        ("subjectaccessreviews", ""): SubjectAccessReviews(authorizer),
        ("localsubjectaccessreviews", ""): SubjectAccessReviews(authorizer, local=True),
        ("selfsubjectaccessreviews", ""): SelfSubjectAccessReviews(authorizer),
        ("selfsubjectrulesreviews", ""): SelfSubjectRulesReviews(authorizer),
        ("serviceaccounts", "token"): no_signing_key,
    }
    if values["service-account-signing-key-file"]:
        if not issuers:
            raise ValueError("--service-account-signing-key-file needs --service-account-issuer")
        issuer = Issuer(
            issuers[0],
            jwt.load_private_key(values["service-account-signing-key-file"]),
            audiences(values),
            int(values["service-account-max-token-expiration"]),
            values["service-account-extend-token-expiration"],
        )
        answerers["serviceaccounts", "token"] = TokenRequests(issuer, objects, clock, rng or system_rng(), admission)
    keys = [key for path in values["service-account-key-file"] for key in jwt.load_public_keys(path)]
    uri = values["service-account-jwks-uri"] or f"https://{external_address}{documents.JWKS_PATH}"
    return Tokens(answerers, documents.build(issuers[0], uri, keys) if issuers else {})


async def no_signing_key(call: Call, body: JSON) -> JSON:
    """Stands in for TokenRequest where no key was given."""
    raise errors.not_found("serviceaccounts/token", "", call.name)

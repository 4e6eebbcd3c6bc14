"""Who sent a request: certificates, front proxies, static tokens, bootstrap tokens, ServiceAccount tokens, nobody.

`build` makes the chain that endpoints call; its `tokens` half also serves TokenReview. `impersonate` comes after it.
"""

from __future__ import annotations

from apiserver.authn.chain import RequestAuthenticator, TokenAuthenticator, TokenIdentity, TokenRefused
from apiserver.authn.impersonation import impersonate
from apiserver.authn.options import build, client_ca_files, declare

__all__ = [
    "RequestAuthenticator",
    "TokenAuthenticator",
    "TokenIdentity",
    "TokenRefused",
    "build",
    "client_ca_files",
    "declare",
    "impersonate",
]

"""Questions and answers about identity and rights, and the tokens of ServiceAccounts: none of these is ever stored.

`build` gives the answerers by (plural, subresource), and the documents by which others verify our tokens.
"""

from __future__ import annotations

from apiserver.tokens.options import Tokens, build, declare

__all__ = ["Tokens", "build", "declare"]

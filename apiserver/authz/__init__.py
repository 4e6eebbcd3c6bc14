"""Who may do what: RBAC, the node authorizer, and the rules about handing out rights.

`build` makes the authorizer of `--authorization-mode`; `forbidden` turns its verdict into the answer that clients know.
"""

from __future__ import annotations

from apiserver.authz.denial import forbidden
from apiserver.authz.modes import ModeAuthorizer, build, declare

__all__ = ["ModeAuthorizer", "build", "declare", "forbidden"]

"""`--token-auth-file`: lines of `token,user,uid,"group1,group2"`, read once at start."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from apiserver.authn.chain import TokenIdentity
from apiserver.ports import User

log = logging.getLogger(__name__)


class TokenFile:
    """Tokens are kept as digests: looking one up takes the same time whether or not its beginning is right."""

    def __init__(self, path: str | Path) -> None:
        """Raises FileNotFoundError, or ValueError naming file and line."""
        self._users: dict[bytes, User] = {}
        with Path(path).open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file, skipinitialspace=True), 1):
                if not row or row[0].startswith("#"):
                    continue
                self._add(row, f"{path}:{number}")

    def _add(self, row: Sequence[str], where: str) -> None:
        fields = [value.strip() for value in row]
        if len(fields) < 3 or not fields[1]:
            raise ValueError(f"{where}: a line needs at least the three columns token,user,uid")
        if not fields[0]:
            log.warning("%s: the token is empty, the line is left out", where)
            return
        digest = hashlib.sha256(fields[0].encode()).digest()
        if digest in self._users:
            log.warning("%s: the token stands in an earlier line too; this one wins", where)
        groups = tuple(group.strip() for group in fields[3].split(",") if group.strip()) if len(fields) > 3 else ()
        self._users[digest] = User(fields[1], groups, fields[2])

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        user = self._users.get(hashlib.sha256(token.encode()).digest())
        return None if user is None else TokenIdentity(user, tuple(audiences))

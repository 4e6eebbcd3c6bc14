"""Applies transactions with nft(8). Each text is atomic: the kernel takes all of it or nothing."""

from __future__ import annotations

import asyncio
from typing import Protocol


class NftError(Exception):
    """nft refused a transaction or is not there; the message is its own first lines."""


class Kernel(Protocol):
    async def apply(self, transaction: str) -> None:
        """Raises NftError; then nothing has changed."""
        ...


class Nft:
    def __init__(self, program: str = "nft") -> None:
        self._program = program

    async def apply(self, transaction: str) -> None:
        try:
            child = await asyncio.create_subprocess_exec(
                self._program,
                "-f",
                "-",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise NftError(f"{self._program} cannot be run: {error.strerror}") from error
        _, complaint = await child.communicate(transaction.encode())
        if child.returncode != 0:
            raise NftError("; ".join(complaint.decode("utf-8", "replace").splitlines()[:3]))

"""Whether the apiserver works: named checks behind /healthz, /livez and /readyz."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Check = Callable[[], Awaitable[str]]
"""Answers "" when all is well, else what is wrong."""


@dataclass(slots=True)
class Health:
    """Checks by name; those in `ready_only` do not count for liveness."""

    checks: dict[str, Check] = field(default_factory=dict)
    ready_only: set[str] = field(default_factory=set)

    async def report(self, kind: str, excluded: set[str]) -> tuple[bool, str]:
        """(all well, text with a line for each check)."""
        lines, well = [], True
        for name, check in self.checks.items():
            if kind != "readyz" and name in self.ready_only:
                continue
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = await check()
            well = well and not problem
            lines.append(f"[-]{name} failed: {problem}" if problem else f"[+]{name} ok")
        lines.append(f"{kind} check {'passed' if well else 'failed'}")
        return well, "\n".join(lines) + "\n"


async def ping() -> str:
    return ""

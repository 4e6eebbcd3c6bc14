"""Whether the apiserver works: named checks behind /healthz, /livez and /readyz."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from apimachinery import fields
from apiserver.endpoints.exchange import TEXT, Exchange

log = logging.getLogger(__name__)

KINDS = ("healthz", "livez", "readyz")
Check = Callable[[], Awaitable[str]]
"""Answers "" when all is well, else what is wrong."""


@dataclass(slots=True)
class Health:
    """Checks by name; those in `ready_only` do not count for liveness."""

    checks: dict[str, Check] = field(default_factory=dict)
    ready_only: set[str] = field(default_factory=set)

    async def __call__(self, exchange: Exchange) -> bool:
        """Whether the path was one of health's: `/readyz`, with `?verbose`, or one check by its name."""
        kind, _, name = exchange.path.strip("/").partition("/")
        if kind not in KINDS or exchange.method not in ("GET", "HEAD"):
            return False
        if not name:
            well, text = await self.report(kind, {value for key, value in exchange.pairs if key == "exclude"})
            shown = text if "verbose" in exchange.query or not well else "ok"
        elif name in self.checks:
            problem = await self.checks[name]()
            well, shown = not problem, f"internal server error: {problem}\n" if problem else "ok"
        else:
            await exchange.answer_no_page()
            return True
        await exchange.answer(200 if well else 500, shown.encode(), TEXT, [(b"x-content-type-options", b"nosniff")])
        return True

    async def report(self, kind: str, excluded: set[str]) -> tuple[bool, str]:
        """(all well, text with a line for each check). Why one failed is for the log: everybody may read the text."""
        lines, well, unknown = [], True, set(excluded)
        for name, check in self.checks.items():
            if kind != "readyz" and name in self.ready_only:
                continue
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                unknown.discard(name)
                continue
            problem = await check()
            well = well and not problem
            if problem:
                log.warning("%s check %s failed: %s", kind, name, problem)
            lines.append(f"[-]{name} failed: reason withheld" if problem else f"[+]{name} ok")
        if unknown:
            names = ", ".join(fields.quote(name) for name in sorted(unknown))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        lines.append(f"{kind} check {'passed' if well else 'failed'}")
        return well, "\n".join(lines) + "\n"


async def ping() -> str:
    return ""

"""Regular expressions that users wrote: RE2, whose matching takes time linear in the text whatever the pattern.

Python's own `re` backtracks, so that one pattern of a policy could stop the apiserver (docs/decisions/0011-cel.md).
RE2 is loaded when the first pattern is compiled.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apimachinery.cel.errors import CelError

_MEMORY = 4 << 20
#: RE2's words for what is wrong -> those of Go's regexp.
_GO = {
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "unexpected )": "unexpected )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid UTF-8": "invalid UTF-8",
    "invalid named capture group": "invalid named capture",
}


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """The compiled pattern. Raises CelError with Go's text."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        raise CelError(f"error parsing regexp: {_go_text(error)}") from None


def complaint(pattern: str) -> str:
    """Why a pattern is none, "" if it is one."""
    try:
        compiled(pattern)
    except CelError as error:
        return str(error)
    return ""


def search(text: str, pattern: str) -> bool:
    """Whether the pattern occurs anywhere."""
    return compiled(pattern).search(text) is not None


def _go_text(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    kind, colon, where = text.partition(": ")
    kind = _GO.get(kind, kind)
    return f"{kind}: `{where}`" if colon else kind

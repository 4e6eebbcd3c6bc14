"""What differs between two versions of a spec, for messages that refuse a change."""

from __future__ import annotations

from typing import Any

from apimachinery.fields import to_json
from apimachinery.strategies.equality import same

_MISSING = object()


def differences(old: Any, new: Any) -> str:
    """Lines of `-` and `+` under the path of each value that differs."""
    lines: list[str] = []
    _walk("spec", old, new, lines)
    return "\n".join(lines) + "\n"


def _walk(path: str, old: Any, new: Any, lines: list[str]) -> None:
    if old is _MISSING or new is _MISSING:
        if not same(None if old is _MISSING else old, None if new is _MISSING else new):
            _show(path, old, new, lines)
    elif same(old, new):
        return
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            _walk(f"{path}.{key}", old.get(key, _MISSING), new.get(key, _MISSING), lines)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            left = old[index] if index < len(old) else _MISSING
            right = new[index] if index < len(new) else _MISSING
            _walk(f"{path}[{index}]", left, right, lines)
    else:
        _show(path, old, new, lines)


def _show(path: str, old: Any, new: Any, lines: list[str]) -> None:
    if old is not _MISSING:
        lines.append(f"- \t{path}: {to_json(old)}")
    if new is not _MISSING:
        lines.append(f"+ \t{path}: {to_json(new)}")

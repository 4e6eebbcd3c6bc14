"""`-o jsonpath=…`: text with paths in braces, `{range …}…{end}`, quoted words; and `-o custom-columns=…`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery.table.jsonpath import compiled, find

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}
_PIECE = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:\[(?:[^\]'"]|'[^']*'|"[^"]*")*\]|[^\s"'\[])+)""")


@dataclass
class _Range:
    path: str
    body: list[Any] = field(default_factory=list)


class Template:
    """Raises ValueError when the template is none."""

    def __init__(self, text: str) -> None:
        self._parts: list[Any] = []
        if "{" not in text and text.startswith((".", "$", "[")):
            text = "{" + text + "}"
        open_ranges: list[_Range] = []
        for literal, action in _split(text):
            body = open_ranges[-1].body if open_ranges else self._parts
            if literal:
                body.append(("text", literal))
            if action is None:
                continue
            action = action.strip()
            if action == "end":
                if not open_ranges:
                    raise ValueError("{end} without {range}")
                open_ranges.pop()
            elif action.startswith("range"):
                made = _Range(_path(action[5:].strip()))
                body.append(made)
                open_ranges.append(made)
            else:
                body.append(("values", _pieces(action)))
        if open_ranges:
            raise ValueError("{range} without {end}")

    def render(self, document: Any) -> str:
        return "".join(self._render(self._parts, document, document))

    def _render(self, parts: Sequence[Any], here: Any, root: Any) -> list[str]:
        out: list[str] = []
        for part in parts:
            if isinstance(part, _Range):
                for one in find(part.path, root if part.path.startswith("$") else here):
                    out += self._render(part.body, one, root)
            elif part[0] == "text":
                out.append(part[1])
            else:
                for kind, content in part[1]:
                    if kind == "text":
                        out.append(content)
                    else:
                        values = find(content, root if content.startswith("$") else here)
                        out.append(" ".join(shown(value) for value in values))
        return out


def _split(text: str) -> list[tuple[str, str | None]]:
    """Literal text, each with the action in braces after it. Braces within quotes belong to the action."""
    found: list[tuple[str, str | None]] = []
    place = 0
    while True:
        start = text.find("{", place)
        if start < 0:
            found.append((text[place:], None))
            return found
        end, quote = start + 1, ""
        while end < len(text) and (quote or text[end] != "}"):
            if quote and text[end] == "\\":
                end += 1
            elif quote:
                quote = "" if text[end] == quote else quote
            elif text[end] in "\"'":
                quote = text[end]
            end += 1
        if end >= len(text):
            raise ValueError(f"unclosed action in template {text!r}")
        found.append((text[place:start], text[start + 1 : end]))
        place = end + 1


def _pieces(action: str) -> list[tuple[str, str]]:
    if action.startswith(("@", ".", "$", "[")):
        return [("path", _path(action))]
    pieces: list[tuple[str, str]] = []
    for word in _PIECE.findall(action):
        if word[0] in "\"'":
            pieces.append(("text", re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), word[1:-1])))
        else:
            pieces.append(("path", _path(word)))
    return pieces


def _path(text: str) -> str:
    path = text if text.startswith(("@", ".", "$", "[")) else f".{text}"
    compiled(path)
    return path


def shown(value: Any) -> str:
    """A value within a template: words as they are, structures as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class CustomColumns:
    """`NAME:.metadata.name,NODE:.spec.nodeName`."""

    names: tuple[str, ...]
    paths: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> CustomColumns:
        pairs = [part.partition(":") for part in text.split(",")]
        if not text or any(not path for _, _, path in pairs):
            raise ValueError("custom-columns format specified but no custom columns given, write NAME:.json.path,…")
        return cls(tuple(name for name, _, _ in pairs), tuple(_path(path.strip("{}")) for _, _, path in pairs))

    def row(self, obj: Any) -> list[str]:
        return [",".join(map(_cell, find(path, obj))) or "<none>" for path in self.paths]


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_cell(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_cell, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "<none>" if value is None else str(value)

"""Text to tokens, and what literals mean."""

from __future__ import annotations

import re
from typing import NamedTuple

from apimachinery.cel.errors import CelSyntaxError, Issue

LIMIT = 100_000
END = "<EOF>"

_TOKEN = re.compile(
    r"""
    (?P<space>[\t \r\n\f]+|//[^\n]*)
  | (?P<text>(?:[bB][rR]?|[rR])?(?:\"\"\"|'''|\"|'))
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<uint>(?:0x[0-9a-fA-F]+|\d+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|\d+)
  | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<quoted>`[a-zA-Z0-9_.\-/ ]+`)
  | (?P<mark>==|!=|<=|>=|&&|\|\||[-+*/%!?:.,<>()\[\]{}])
    """,
    re.VERBOSE,
)
# What comes before the closing quote; none of these can backtrack.
_BODIES = {
    ('"', False): re.compile(r'(?:[^\\"\r\n]|\\.)*', re.DOTALL),
    ("'", False): re.compile(r"(?:[^\\'\r\n]|\\.)*", re.DOTALL),
    ('"', True): re.compile(r'[^"\r\n]*'),
    ("'", True): re.compile(r"[^'\r\n]*"),
    ('"""', False): re.compile(r'(?:[^\\"]|\\.|"(?!""))*', re.DOTALL),
    ("'''", False): re.compile(r"(?:[^\\']|\\.|'(?!''))*", re.DOTALL),
    ('"""', True): re.compile(r'(?:[^"]|"(?!""))*', re.DOTALL),
    ("'''", True): re.compile(r"(?:[^']|'(?!''))*", re.DOTALL),
}
_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\'\"`?])|[xX](?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})|(?P<wrong>.|$))",
    re.DOTALL,
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Token(NamedTuple):
    """`kind` is float, int, uint, string, bytes, name, quoted, mark or end."""

    kind: str
    text: str
    offset: int


def issue(text: str, offset: int, message: str) -> Issue:
    """A complaint about an offset; below 0 it is about no place at all."""
    if offset < 0:
        return Issue(-1, -1, message)
    before = text.count("\n", 0, offset)
    return Issue(before + 1, offset - (text.rfind("\n", 0, offset) + 1), message)


def wrong(text: str, offset: int, message: str) -> CelSyntaxError:
    return CelSyntaxError(text, [issue(text, offset, message)])


def tokens(text: str) -> list[Token]:
    """All tokens and the end. Raises CelSyntaxError."""
    if len(text) > LIMIT:
        raise wrong(text, -1, f"expression code point size exceeds limit: size: {len(text)}, limit {LIMIT}")
    found, offset = [], 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise wrong(text, offset, f"Syntax error: token recognition error at: '{text[offset]}'")
        kind, end = match.lastgroup or "", match.end()
        if kind == "text":
            end = _closed(text, offset, match[0])
            kind = "bytes" if match[0][0] in "bB" else "string"
        if kind != "space":
            found.append(Token(kind, text[offset:end], offset))
        offset = end
    found.append(Token("end", END, len(text)))
    return found


def _closed(text: str, offset: int, opening: str) -> int:
    prefix = opening.rstrip("\"'").lower()
    quote = opening[len(prefix) :]
    body = _BODIES[quote, "r" in prefix].match(text, offset + len(opening))
    assert body is not None
    if not text.startswith(quote, body.end()):
        rest = text[offset : body.end() + 1]
        raise wrong(text, offset, f"Syntax error: token recognition error at: '{rest}'")
    return body.end() + len(quote)


def string_value(token: Token) -> str:
    """What a string literal says; ValueError where an escape means nothing."""
    prefix, body = _body(token.text)
    return body if "r" in prefix else _ESCAPE.sub(_char, body)


def bytes_value(token: Token) -> bytes:
    prefix, body = _body(token.text)
    if "r" in prefix:
        return body.encode()
    found, offset = b"", 0
    for match in _ESCAPE.finditer(body):
        found += body[offset : match.start()].encode() + _byte(match)
        offset = match.end()
    return found + body[offset:].encode()


def _body(text: str) -> tuple[str, str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    prefix = re.match("[bBrR]*", text)
    assert prefix is not None
    quoted = text[prefix.end() :]
    size = 3 if quoted[:3] in {'"""', "'''"} and len(quoted) >= 6 else 1
    return prefix[0].lower(), quoted[size:-size]


def _char(match: re.Match[str]) -> str:
    if match["plain"]:
        return _PLAIN.get(match["plain"], match["plain"])
    if match["octal"]:
        return chr(int(match["octal"], 8))
    digits = match["byte"] or match["short"] or match["long"]
    if not digits:
        raise ValueError("unable to unescape string")
    code = int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid unicode code point")
    return chr(code)


def _byte(match: re.Match[str]) -> bytes:
    if match["octal"]:
        return bytes([int(match["octal"], 8)])
    if match["byte"]:
        return bytes([int(match["byte"], 16)])
    if match["plain"]:
        return _char(match).encode()
    raise ValueError("unable to unescape string")

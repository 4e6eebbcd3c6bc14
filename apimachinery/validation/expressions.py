"""Whether text is an expression of the Common Expression Language at all; types and names are not looked at."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

LIMIT = 100_000
DEEPEST = 250

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<text>(?:[rR][bB]?|[bB][rR]?)?(?:
        \"\"\"(?:[^\\]|\\.)*?\"\"\" | '''(?:[^\\]|\\.)*?''' | \"(?:[^\\\"\r\n]|\\.)*\" | '(?:[^\\'\r\n]|\\.)*'))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
  | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<quoted>`[a-zA-Z0-9_.\-/ ]+`)
  | (?P<mark>==|!=|<=|>=|&&|\|\||[-+*/%!?:.,<>()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_RESERVED = frozenset(
    (
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
        "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip
_BINARY = frozenset({"||", "&&", "<", "<=", ">=", ">", "==", "!=", "in", "+", "-", "*", "/", "%"})
#: what is open -> what closes it; a condition's first branch is closed by its colon, a key by the one before its value
_CLOSERS = {"group": ")", "call": ")", "list": "]", "index": "]", "branch": ":", "key": ":", "value": "}"}
_END = "<EOF>"


class _Wrong(Exception):
    def __init__(self, offset: int, sentence: str) -> None:
        super().__init__(sentence)
        self.offset = offset
        self.sentence = sentence


@lru_cache(maxsize=1024)
def complaint(text: str) -> str:
    """Why the expression cannot be compiled, in the form upstream's compiler reports; empty when it parses."""
    if len(text) > LIMIT:
        size = f"expression code point size exceeds limit: size: {len(text)}, limit {LIMIT}"
        return f"compilation failed: ERROR: <input>:-1:0: {size}"
    try:
        _Parser(text).parse()
    except _Wrong as wrong:
        line = text.count("\n", 0, wrong.offset) + 1
        start = text.rfind("\n", 0, wrong.offset) + 1
        column = wrong.offset - start
        snippet = text[start:].split("\n", 1)[0]
        place = f"<input>:{line}:{column + 1}"
        return f"compilation failed: ERROR: {place}: {wrong.sentence}\n | {snippet}\n | {'.' * column}^"
    return ""


class _Parser:
    """Operands and operators by turns, with a stack of what is open: nesting must not cost Python's own stack."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0
        self._open: list[str] = []
        self._done = False

    def parse(self) -> None:
        self._split()
        while not self._done:
            if self._operand():
                while not self._operator():
                    pass

    def _split(self) -> None:
        offset = 0
        while offset < len(self._text):
            match = _TOKEN.match(self._text, offset)
            if match is None:
                char = self._text[offset]
                raise _Wrong(offset, f"Syntax error: token recognition error at: '{char}'")
            kind = match.lastgroup or ""
            if kind != "space":
                self._tokens.append((kind, match[0], offset))
            offset = match.end()
        self._tokens.append(("end", _END, len(self._text)))

    def _kind(self) -> str:
        return self._tokens[self._at][0]

    def _word(self) -> str:
        kind, word, _ = self._tokens[self._at]
        return word if kind in {"mark", "name", "end"} else ""

    def _unexpected(self) -> NoReturn:
        _, word, offset = self._tokens[self._at]
        closer = _CLOSERS.get(self._open[-1]) if self._open and word == _END else None
        expecting = f" expecting '{closer}'" if closer else ""
        raise _Wrong(offset, f"Syntax error: mismatched input '{word}'{expecting}")

    def _take(self, word: str) -> bool:
        if self._kind() == "mark" and self._word() == word:
            self._at += 1
            return True
        return False

    def _push(self, what: str) -> None:
        self._open.append(what)
        if len(self._open) > DEEPEST:
            raise _Wrong(0, f"expression recursion limit exceeded: {DEEPEST}")

    def _operand(self) -> bool:
        """Read up to the end of one operand; False where something was opened that wants another operand first."""
        sign = self._word()
        while sign in {"!", "-"} and self._take(sign):
            pass
        kind = self._kind()
        if kind in {"text", "number"}:
            self._at += 1
            return True
        if self._take("("):
            self._push("group")
            return False
        if self._take("["):
            return self._first("list", "]")
        if self._take("{"):
            return self._first("key", "}")
        self._take(".")
        kind, word = self._kind(), self._word()
        if kind != "name" or word == "in":
            self._unexpected()
        if word in _RESERVED:
            raise _Wrong(self._tokens[self._at][2], f"reserved identifier: {word}")
        self._at += 1
        return self._arguments()

    def _first(self, what: str, closer: str) -> bool:
        """Open something that may be empty; True where it is."""
        if self._take(closer):
            return True
        if what != "call":
            self._take("?")
        self._push(what)
        return False

    def _arguments(self) -> bool:
        return self._first("call", ")") if self._take("(") else True

    def _operator(self) -> bool:
        """Read what follows an operand; True where an operand has to come next, or all is read."""
        word, top = self._word(), self._open[-1] if self._open else ""
        if word in _BINARY:
            self._at += 1
            return True
        if word == _END and not self._open:
            self._done = True
            return True
        if self._take("."):
            self._take("?")
            if self._kind() not in {"name", "quoted"}:
                self._unexpected()
            self._at += 1
            return not self._arguments()
        if self._take("["):
            self._take("?")
            self._push("index")
            return True
        if word == "{" and self._tokens[self._at - 1][0] == "name":
            self._at += 1
            return not self._first("key", "}")
        if word == "?" and top != "branch":
            self._at += 1
            self._push("branch")
            return True
        return self._separator(top)

    def _separator(self, top: str) -> bool:
        if top and self._take(_CLOSERS[top]):
            self._open.pop()
            if top == "key":
                self._push("value")
            return top in {"branch", "key"}
        if top in {"call", "list", "value"} and self._take(","):
            return self._next(top)
        self._unexpected()

    def _next(self, top: str) -> bool:
        """After a comma; lists and maps may end with one, and only they know optional elements."""
        if top == "call":
            return True
        self._open.pop()
        return not self._first("list", "]") if top == "list" else not self._first("key", "}")

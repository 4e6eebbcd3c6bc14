"""Tokens to a tree: operator precedence by climbing, macros expanded on the way."""

from __future__ import annotations

from typing import NoReturn

from apimachinery.cel import macros
from apimachinery.cel.ast import (
    DEEPEST,
    Call,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    StructNode,
    depth,
)
from apimachinery.cel.lexer import END, Token, bytes_value, string_value, tokens, wrong
from apimachinery.cel.numbers import INT_MAX, INT_MIN, UINT_MAX, UInt

RESERVED = frozenset(
    (
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
        "package", "namespace", "null", "return", "true", "var", "void", "while",
    )
)  # fmt: skip
#: operator -> how tightly it binds
_BINDS = {
    "||": 1, "&&": 2, "<": 3, "<=": 3, ">": 3, ">=": 3, "==": 3, "!=": 3, "in": 3, "+": 4, "-": 4, "*": 5, "/": 5,
    "%": 5,
}  # fmt: skip
_FUNCTIONS = {sign: "@in" if sign == "in" else f"_{sign}_" for sign in _BINDS}
_WORDS = {"true": True, "false": False, "null": None}
_OPERAND = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_TOO_DEEP = f"expression recursion limit exceeded: {DEEPEST}"


def parse(text: str) -> Node:
    """The tree of an expression. Raises CelSyntaxError, also for nesting deeper than upstream takes."""
    try:
        tree = _Parser(text).parse()
    except RecursionError:
        raise wrong(text, -1, _TOO_DEEP) from None
    except macros.MacroError as error:
        raise wrong(text, error.offset, error.message) from None
    if depth(tree) > DEEPEST:
        raise wrong(text, -1, _TOO_DEEP)
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._nested = 0

    def parse(self) -> Node:
        tree = self._expression()
        if self._next.kind != "end":
            last = self._tokens[self._at + 1].kind == "end"
            how = "extraneous" if last else "mismatched"
            self._fail(f"{how} input '{self._next.text}' expecting <EOF>")
        return tree

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _fail(self, sentence: str) -> NoReturn:
        raise wrong(self._text, self._next.offset, f"Syntax error: {sentence}")

    def _expect(self, mark: str) -> Token:
        token = self._next
        if token.kind != "mark" or token.text != mark:
            how = "mismatched" if token.text == END or mark in {")", ":"} else "extraneous"
            self._fail(f"{how} input '{token.text}' expecting '{mark}'")
        self._at += 1
        return token

    def _take(self, mark: str) -> bool:
        token = self._next
        if token.kind == "mark" and token.text == mark:
            self._at += 1
            return True
        return False

    def _expression(self) -> Node:
        self._nested += 1
        if self._nested > DEEPEST:
            raise wrong(self._text, -1, _TOO_DEEP)
        tree = self._binary(1)
        mark = self._next
        if self._take("?"):
            then = self._binary(1)
            self._expect(":")
            tree = Call(mark.offset, "_?_:_", None, [tree, then, self._expression()])
        self._nested -= 1
        return tree

    def _binary(self, least: int) -> Node:
        left = self._operand()
        while True:
            token = self._next
            binds = _BINDS.get(token.text, 0) if token.kind in {"mark", "name"} else 0
            if binds < least or binds == 0:
                return left
            if binds <= 2:
                left = self._logic(left, token.text, binds)
                continue
            self._at += 1
            right = self._binary(binds + 1)
            left = Call(token.offset, _FUNCTIONS[token.text], None, [left, right])

    def _logic(self, first: Node, sign: str, binds: int) -> Node:
        """A chain of && or || becomes a balanced tree, which is how upstream reports and counts it."""
        terms, places = [first], []
        while self._next.kind == "mark" and self._next.text == sign:
            places.append(self._next.offset)
            self._at += 1
            terms.append(self._binary(binds + 1))
        return _balanced(_FUNCTIONS[sign], terms, places, 0, len(places) - 1)

    def _operand(self) -> Node:
        token = self._next
        sign = token.text
        if self._take("("):
            # Here and not in `_primary`: what nests most often should take least of Python's stack.
            tree = self._expression()
            self._expect(")")
            return self._postfix(tree)
        if token.kind == "mark" and sign in {"!", "-"}:
            after = self._tokens[self._at + 1]
            if sign == "-" and after.kind in {"int", "float"}:
                self._at += 1
                return self._postfix(self._literal(after, "-", token.offset))
            count = 0
            while self._take(sign):
                count += 1
            if self._next.kind == "mark" and self._next.text in {"!", "-"}:
                self._fail(f"mismatched input '{self._next.text}' expecting {_OPERAND}")
            operand = self._postfix(self._primary())
            return Call(token.offset, f"{sign}_", None, [operand]) if count % 2 else operand
        return self._postfix(self._primary())

    def _primary(self) -> Node:
        token = self._next
        if token.kind in {"int", "uint", "float", "string", "bytes"}:
            return self._literal(token, "", token.offset)
        if token.kind == "name":
            return self._named()
        if self._take("("):
            tree = self._expression()
            self._expect(")")
            return tree
        if self._take("["):
            return self._list(token.offset)
        if self._take("{"):
            return MapNode(token.offset, self._entries(fields=False))
        if self._take("."):
            return self._named(".")
        self._fail(f"mismatched input '{token.text}' expecting {_OPERAND}")

    def _literal(self, token: Token, sign: str, offset: int) -> Node:
        self._at += 1
        text = token.text
        if token.kind == "string":
            return self._quoted(token)
        if token.kind == "bytes":
            return self._quoted(token)
        if token.kind == "float":
            value = float(sign + text)
            if value in {float("inf"), float("-inf")}:
                raise wrong(self._text, offset, "invalid double literal")
            return Literal(offset, value)
        digits = text[:-1] if token.kind == "uint" else text
        number = int(digits, 16) if digits.startswith("0x") else _decimal(digits)
        if token.kind == "uint":
            if number > UINT_MAX:
                raise wrong(self._text, offset, "invalid uint literal")
            return Literal(offset, UInt(number))
        if sign:
            number = -number
        if not INT_MIN <= number <= INT_MAX:
            raise wrong(self._text, offset, "invalid int literal")
        return Literal(offset, number)

    def _quoted(self, token: Token) -> Node:
        try:
            value = string_value(token) if token.kind == "string" else bytes_value(token)
        except ValueError as error:
            raise wrong(self._text, token.offset, str(error)) from None
        return Literal(token.offset, value)

    def _named(self, dot: str = "") -> Node:
        token = self._next
        if token.kind != "name" or token.text in {"in", "true", "false", "null"}:
            if token.text in _WORDS and token.kind == "name" and not dot:
                self._at += 1
                return Literal(token.offset, _WORDS[token.text])
            expecting = "IDENTIFIER" if dot else _OPERAND
            self._fail(f"mismatched input '{token.text}' expecting {expecting}")
        self._at += 1
        opening = self._next
        if opening.text == "{" and opening.kind == "mark":
            return self._object(dot + token.text)
        if token.text in RESERVED:
            raise wrong(self._text, token.offset, f"reserved identifier: {token.text}")
        if self._take("("):
            args = self._arguments()
            expanded = macros.expand(opening.offset, dot + token.text, None, args)
            return expanded or Call(opening.offset, dot + token.text, None, args)
        return Ident(token.offset, dot + token.text)

    def _object(self, name: str) -> Node:
        return StructNode(self._expect("{").offset, name, self._entries(fields=True))

    def _postfix(self, tree: Node) -> Node:
        while True:
            token = self._next
            if token.kind != "mark":
                return tree
            if token.text == ".":
                self._at += 1
                tree = self._member(tree, token.offset)
            elif token.text == "[":
                self._at += 1
                function = "_[?_]" if self._take("?") else "_[_]"
                index = self._expression()
                self._expect("]")
                tree = Call(token.offset, function, None, [tree, index])
            elif token.text == "{" and (name := _dotted(tree)):
                tree = self._object(name)
            else:
                return tree

    def _member(self, tree: Node, offset: int) -> Node:
        optional = self._take("?")
        token = self._next
        if token.kind not in {"name", "quoted"} or token.text in {"in", "true", "false", "null"}:
            self._fail(f"no viable alternative at input '.{token.text}'" if token.text == END else self._no_name())
        self._at += 1
        if token.kind == "quoted":
            raise wrong(self._text, token.offset, "unsupported syntax: '`'")
        opening = self._next
        if not optional and self._take("("):
            args = self._arguments()
            expanded = macros.expand(opening.offset, token.text, tree, args)
            return expanded or Call(opening.offset, token.text, tree, args)
        return Select(offset, tree, token.text, optional=optional)

    def _no_name(self) -> str:
        return f"mismatched input '{self._next.text}' expecting IDENTIFIER"

    def _arguments(self) -> list[Node]:
        if self._take(")"):
            return []
        args = [self._expression()]
        while self._take(","):
            args.append(self._expression())
        self._expect(")")
        return args

    def _list(self, offset: int) -> Node:
        elements: list[Node] = []
        optional: set[int] = set()
        while not self._take("]"):
            if elements or self._next.text == ",":
                self._expect(",")
                if self._take("]"):
                    break
            if self._take("?"):
                optional.add(len(elements))
            elements.append(self._expression())
            if self._next.text not in {",", "]"} or self._next.kind != "mark":
                self._expect("]")
        return ListNode(offset, elements, frozenset(optional))

    def _entries(self, *, fields: bool) -> list[Entry]:
        entries: list[Entry] = []
        while not self._take("}"):
            if entries or self._next.text == ",":
                self._expect(",")
                if self._take("}"):
                    break
            optional = self._take("?")
            key = self._field() if fields else self._expression()
            colon = self._expect(":")
            entries.append(Entry(colon.offset, key, self._expression(), optional=optional))
            if self._next.text not in {",", "}"} or self._next.kind != "mark":
                self._expect("}")
        return entries

    def _field(self) -> Node:
        token = self._next
        if token.kind == "quoted":
            raise wrong(self._text, token.offset, "unsupported syntax: '`'")
        if token.kind != "name":
            self._fail(self._no_name())
        self._at += 1
        return Literal(token.offset, token.text)


def _decimal(digits: str) -> int:
    # Python refuses to read thousands of digits; so many are out of range in any case.
    return int(digits) if len(digits.lstrip("0")) <= 20 else UINT_MAX + 1


def _dotted(tree: Node) -> str:
    """`a.b.c` as text, "" for anything else."""
    parts: list[str] = []
    while isinstance(tree, Select) and not tree.test and not tree.optional:
        parts.append(tree.field)
        tree = tree.operand
    return ".".join([tree.name, *reversed(parts)]) if isinstance(tree, Ident) else ""


def _balanced(function: str, terms: list[Node], places: list[int], low: int, high: int) -> Node:
    middle = (low + high + 1) // 2
    left = terms[middle] if middle == low else _balanced(function, terms, places, low, middle - 1)
    right = terms[middle + 1] if middle == high else _balanced(function, terms, places, middle + 1, high)
    return Call(places[middle], function, None, [left, right])

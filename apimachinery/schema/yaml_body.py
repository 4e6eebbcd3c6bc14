"""YAML bodies to plain values, with the scalars read as the server's YAML library reads them.

That is YAML 1.1's booleans, Go's integer spellings, no base-60 numbers, and dates left as text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from apimachinery.schema.json_body import SyntaxProblem, whole_number

try:
    _Base: type[yaml.SafeLoader] = yaml.CSafeLoader  # type: ignore[assignment]
except AttributeError:
    _Base = yaml.SafeLoader

_ALIAS_BUDGET = 400_000  # nodes after expansion; bombs of nested aliases exceed it, real objects never come near
_MAX_DEPTH = 300
#: Where block collections begin; each column holds at most two of them, as lists may stand below their key.
_INDENTATION = re.compile(r"^[ \t\-?:]+", re.MULTILINE)
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class _Loader(_Base):  # type: ignore[misc, valid-type]
    """PyYAML's safe loader with its own scalar resolution; every other tag stays a complaint."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - the base class's own shape


def _add(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_BOOLEANS = "y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE"
_add("bool", f"^(?:{_BOOLEANS})$", "yYnNtTfFoO")
_add("int", f"^(?:{_INTEGER.pattern})$", "-+0123456789")
_add("float", f"^(?:{_FLOAT.pattern})$", "-+0123456789.")
_add("null", r"^(?:~|null|Null|NULL|)$", "~nN\0")
_Loader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile(r"^$")))
_add("merge", r"^(?:<<)$", "<")


def _boolean(loader: Any, node: yaml.ScalarNode) -> bool:
    return node.value.lower() in ("y", "yes", "on", "true")


def _integer(loader: Any, node: yaml.ScalarNode) -> int | float:
    text = node.value.replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits.isdigit() and (digits[0] != "0" or digits == "0"):
        return whole_number(text)
    base = 8 if digits[:2].isdigit() else 0
    value = sign * int(digits, base) if len(digits) < 70 else 1 << 64
    return value if -(1 << 63) <= value < 1 << 64 else float(value)


def _float(loader: Any, node: yaml.ScalarNode) -> int | float:
    number = float(node.value)
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def parse(data: bytes) -> tuple[Any, list[str]]:
    """The first document's value and a sentence per duplicate key; SyntaxProblem if the text is no YAML."""
    text = data.decode("utf-8", "replace")
    try:
        _check_depth(text)
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise SyntaxProblem(_explain(error)) from None
    try:
        node = loader.get_node() if loader.check_node() else None
        if node is None:
            return None, []
        _check_size(node)
        repeated = _repeated_keys(node)
        return _plain(loader.construct_document(node)), repeated
    except yaml.YAMLError as error:
        raise SyntaxProblem(_explain(error)) from None
    except (RecursionError, ValueError) as error:
        raise SyntaxProblem(f"error converting YAML to JSON: yaml: {error}") from None
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Nodes are composed by recursion, in C and so without a limit: deep nesting must be found before.

    Most texts cannot be nested deeply, which two counts tell; of others the events are read, as far as it needs.
    """
    columns = max((len(found) for found in _INDENTATION.findall(text)), default=0)
    if text.count("[") + text.count("{") + 2 * columns < _MAX_DEPTH:
        return
    loader = _Loader(text)
    depth = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    raise SyntaxProblem("error converting YAML to JSON: yaml: exceeded max depth")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.DocumentEndEvent):
                return  # only the first document is read
    finally:
        loader.dispose()


def _explain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
    line = f"line {mark.line + 1}: " if mark is not None else ""
    return f"error converting YAML to JSON: yaml: {line}{problem}"


def _check_size(root: yaml.Node) -> None:
    """Aliases are cheap to write and dear to expand: count what the expansion would hold before making it."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in open_nodes or depth > _MAX_DEPTH:
            raise SyntaxProblem("error converting YAML to JSON: yaml: document contains excessive aliasing")
        open_nodes.add(id(node))
        total = 1
        for child in node.value:
            pair = child if isinstance(child, tuple) else (child,)
            total += sum(size(one, depth + 1) for one in pair)
            if total > _ALIAS_BUDGET:
                raise SyntaxProblem("error converting YAML to JSON: yaml: document contains excessive aliasing")
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    size(root, 0)


def _repeated_keys(root: yaml.Node) -> list[str]:
    found: list[str] = []
    visited: set[int] = set()

    def visit(node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode) or id(node) in visited:
            return
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in names:
                        line = key.start_mark.line + 1
                        found.append(f'line {line}: key "{key.value}" already set in map')
                    names.add(key.value)
                visit(value)
        else:
            for value in node.value:
                visit(value)

    visit(root)
    return found


def _plain(value: Any) -> Any:
    """The value with every key a text, as JSON demands, and nothing shared between places."""
    if isinstance(value, dict):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    raise SyntaxProblem(f"error converting YAML to JSON: unsupported map key of type {type(key).__name__}")

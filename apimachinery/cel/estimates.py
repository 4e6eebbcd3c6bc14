"""What calls may cost at worst, by overload or function: sizes of operands -> cost and size of the result."""

from __future__ import annotations

import math
from collections.abc import Callable

from apimachinery.cel.ast import Literal, Node
from apimachinery.cel.estimate import UNBOUNDED, Asked, plus, scaled, times
from apimachinery.cel.types import Kind

Reckon = Callable[[Asked, list[int]], tuple[int, int | None]]
_TEXTUAL = frozenset({Kind.STRING, Kind.BYTES})


def _fixed(cost: int) -> Reckon:
    return lambda asked, sizes: (cost, None)


def _read(which: int, *, factor: float = 0.1, sized: bool = False) -> Reckon:
    """Once over one of the operands."""
    return lambda asked, sizes: (scaled(sizes[which], factor), sizes[which] if sized else None)


def _to_bytes(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return scaled(sizes[0], 0.1), times(sizes[0], 4)


def _quote(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return scaled(sizes[0], 0.1), plus(times(sizes[0], 2), 2)


def _pattern(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return times(scaled(plus(sizes[0], 1), 0.1), scaled(sizes[1], 0.25)), None


def _find(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return times(scaled(plus(sizes[0], 1), 0.1), scaled(sizes[1], 0.25)), sizes[0]


def _contains(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return times(scaled(sizes[0], 0.1), scaled(sizes[1], 0.1)), None


def _compared(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return scaled(min(sizes), 0.1), None


def _equal(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    one, other = (arg.type for arg in asked.node.args)
    if one == other and one.name in _ONE_UNIT:
        return 1, None
    return scaled(min(sizes), 0.1), None


_ONE_UNIT = frozenset({"net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver"})


def _each(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    """Functions over the elements of a list; indexOf exists for texts, too."""
    target = asked.node.target
    if target is None:
        return 1, None
    if not target.type.params:
        return scaled(sizes[0], 0.1), None
    each = 1
    if target.type.params[0].kind in _TEXTUAL:
        each = plus(each, scaled(asked.coster.elements(target), 0.1))
    return times(sizes[0], each), None


def _replace(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    text, old, new = sizes[:3]
    least = _least(asked.node.args[0])
    if least == 0:
        size = plus(times(plus(text, 1), new), text)
    elif new <= least:
        size = text
    else:
        size = times(math.ceil(text / least), new)
    del old
    return scaled(text, 0.2), size


def _least(node: Node) -> int:
    return len(node.value) if isinstance(node, Literal) and isinstance(node.value, str) else 0


def _split(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    args = asked.node.args
    most = sizes[0]
    if len(args) > 1 and isinstance(args[1], Literal) and isinstance(args[1].value, int):
        most = args[1].value if args[1].value >= 0 else UNBOUNDED
    return scaled(sizes[0], 0.2), most


def _join(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    target = asked.node.target
    assert target is not None
    size = times(sizes[0], asked.coster.elements(target))
    if len(sizes) > 1:
        size = plus(size, times(sizes[1], max(sizes[0] - 1, 0)))
    return scaled(size, 0.1), size


def _ip(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return (1, None) if asked.overload.id == "cidr_ip" else (scaled(sizes[0], 0.1), None)


def _contains_ip(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    extra = scaled(sizes[1], 0.1) if asked.overload.id == "cidr_contains_ip_string" else 0
    return plus(4, extra), None


def _contains_cidr(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    extra = scaled(sizes[1], 0.1) if asked.overload.id == "cidr_contains_cidr_string" else 0
    return plus(4 + 2 + 1, extra), None


def _validate(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return scaled(scaled(sizes[1], 0.1), 128 * 0.25), None


def _selector(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return plus(10, scaled(sizes[1], 0.1), times(scaled(sizes[1], 0.5), 50)), None


def _sets(factor: int) -> Reckon:
    return lambda asked, sizes: (plus(1, times(times(sizes[0], sizes[1]), factor)), None)


def _allocating(factor: float, size: int) -> tuple[int, int]:
    return plus(scaled(size, factor), 11), size


def _whole(node: Node, otherwise: int) -> int:
    if isinstance(node, Literal) and type(node.value) is int:
        return max(0, node.value)
    return otherwise


def _slice(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    start, end = asked.node.args
    return _allocating(1, (_whole(end, sizes[0]) - _whole(start, 0)) % (UNBOUNDED + 1))


def _range(asked: Asked, _sizes: list[int]) -> tuple[int, int | None]:
    return _allocating(1, _whole(asked.node.args[0], UNBOUNDED))


def _flatten(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    args = asked.node.args
    return _allocating(float(_whole(args[0], UNBOUNDED)) if args else 1.0, sizes[0])


def _reverse(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return _allocating(1, sizes[0])


def _self_compared(asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    keys = asked.overload.params[-1].params[0].kind
    return _allocating(2.1 if keys in _TEXTUAL else 2.0, times(sizes[-1], sizes[-1]))


def _distinct(_asked: Asked, sizes: list[int]) -> tuple[int, int | None]:
    return _allocating(2.0, times(sizes[0], sizes[0]))


CALLS: dict[str, Reckon] = {
    "check": _fixed(350_000),
    "fieldSelector": _selector,
    "labelSelector": _selector,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _each),
    **dict.fromkeys(("url", "jsonpatch.escapeKey"), _read(0, sized=True)),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _read(0, sized=True)),
    "replace": _replace,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _read(0)),
    "ip": _ip,
    "ip.isCanonical": _read(0, factor=0.2),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "string_format": _read(0),
    "string_to_bytes": _to_bytes,
    "bytes_to_string": _read(0, sized=True),
    "strings_quote": _quote,
    # The affix is what these two are reckoned by, unlike when they run.
    "starts_with_string": _read(1),
    "ends_with_string": _read(1),
    "in_list": lambda asked, sizes: (sizes[1], None),
    "matches_string": _pattern,
    "contains_string": _contains,
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _fixed(1)),
    **{
        f"{name}_{kind}": _compared
        for name in ("less", "less_equals", "greater", "greater_equals")
        for kind in ("string", "bytes")
    },
    "_==_": _equal,
    "_!=_": _compared,
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
    "list_slice": _slice,
    "lists_range": _range,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "list_reverse": _reverse,
    "list_distinct": _distinct,
    "sort": _self_compared,
    "@sortByAssociatedKeys": _self_compared,
}

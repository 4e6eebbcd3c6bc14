"""Label selectors on plain label maps and on label columns."""

from __future__ import annotations

import numpy as np

from apimachinery.placement import NodeSelectorTerm, Requirement, holds
from scheduler.columns import ABSENT, Mask, NodeTable
from scheduler.views import LabelSelector


def matches(selector: LabelSelector | None, labels: dict[str, str]) -> bool:
    """None matches nothing, an empty selector everything (API conventions)."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.matchLabels.items()):
        return False
    return all(holds(e, labels) for e in selector.matchExpressions)


def term_mask(term: NodeSelectorTerm, table: NodeTable) -> Mask:
    """Nodes that satisfy every expression of a node selector term; an empty term matches none (API documentation)."""
    if not term.matchExpressions and not term.matchFields:
        return np.zeros(table.size, dtype=np.bool_)
    mask = table.live.copy()
    for expression in term.matchExpressions:
        mask &= column_mask(expression, table)
    for expression in term.matchFields:
        mask &= name_mask(expression, table)
    return mask


def column_mask(expression: Requirement, table: NodeTable) -> Mask:
    column = table.label(expression.key)
    match expression.operator:
        case "In":
            return np.isin(column, [table.values.find(v) for v in expression.values])
        case "NotIn":
            return ~np.isin(column, [table.values.find(v) for v in expression.values])
        case "Exists":
            return np.not_equal(column, ABSENT)
        case "DoesNotExist":
            return np.equal(column, ABSENT)
        case "Gt" | "Lt":
            return number_mask(expression, column, table)
    return np.zeros(table.size, dtype=np.bool_)


def number_mask(expression: Requirement, column: np.ndarray[tuple[int], np.dtype[np.int64]], table: NodeTable) -> Mask:
    try:
        bound = int(expression.values[0])
    except (ValueError, IndexError):
        return np.zeros(table.size, dtype=np.bool_)

    def holds(number: int) -> bool:
        if number == ABSENT:
            return False
        try:
            value = int(table.values.words[number])
        except ValueError:
            return False
        return value > bound if expression.operator == "Gt" else value < bound

    return np.fromiter((holds(int(n)) for n in column), dtype=np.bool_, count=table.size)


def name_mask(expression: Requirement, table: NodeTable) -> Mask:
    """`metadata.name` is the only field a node selector knows."""
    wanted = [table.rows[name] for name in expression.values if name in table.rows]
    mask = np.zeros(table.size, dtype=np.bool_)
    mask[wanted] = True
    return ~mask if expression.operator == "NotIn" else mask

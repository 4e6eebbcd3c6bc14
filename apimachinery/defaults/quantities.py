"""Resource amounts as the server stores them: canonical text, rounded up to thousandths."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apimachinery.quantity import Quantity


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The one spelling of an amount (`1000m` is `1`), or the text itself where it is no amount.

    Validation complains about the latter; here nothing may fail.
    """
    try:
        return str(Quantity.parse(text))
    except ValueError:
        return text


@lru_cache(maxsize=4096)
def rounded_to_milli(text: str) -> str:
    """As `canonical`, rounded up to whole thousandths, for the API promises nothing finer."""
    try:
        amount = Quantity.parse(text)
    except ValueError:
        return text
    in_milli = Quantity.parse(f"{amount.milli_value()}m")
    return str(amount) if in_milli == amount else str(in_milli)


def round_list(holder: dict[str, Any], field: str) -> None:
    """Round every amount of the resource list at `field`, if there is one."""
    amounts = holder.get(field)
    if isinstance(amounts, dict):
        for name, amount in amounts.items():
            amounts[name] = rounded_to_milli(amount if isinstance(amount, str) else str(amount))

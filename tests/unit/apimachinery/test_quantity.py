"""Quantities keep amounts exactly and spell them canonically."""

from __future__ import annotations

import pytest

from apimachinery.quantity import BINARY_SI, Quantity, canonical


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("0", "0"),
        ("0Ki", "0"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1Gi", "1Gi"),
        ("129e6", "129e6"),
        ("128974848000m", "128974848"),
        ("123Mi", "123Mi"),
        ("0.1Ki", "102400m"),
        ("1000", "1k"),
        ("1000000", "1M"),
        ("100001m", "100001m"),
        ("0.0000000001", "1n"),
        ("-0.5", "-500m"),
        ("1e3", "1e3"),
        ("1000e3", "1e6"),
        ("1E", "1E"),
        ("512Ki", "512Ki"),
        ("1.", "1."),
        ("9223372036854775807", "9223372036854775807"),
        ("100Ei", "9223372036854775807"),
        ("1.01", "1010m"),
        ("+5", "+5"),
    ],
)
def test_canonical_text(text: str, want: str) -> None:
    assert canonical(text) == want


@pytest.mark.parametrize(
    "text", ["", "aoeu", "1.1.M", "1+1.0M", "0.1mi", ".5i", "1i", "-3.01e-", "1 Gi", "1e999999999", "²"]
)
def test_bad_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        Quantity.parse(text)


@pytest.mark.parametrize(
    ("text", "value", "milli"), [("1", 1, 1000), ("1m", 1, 1), ("1500m", 2, 1500), ("-1500m", -2, -1500), ("1n", 1, 1)]
)
def test_values_round_away_from_zero(text: str, value: int, milli: int) -> None:
    assert (Quantity.parse(text).value(), Quantity.parse(text).milli_value()) == (value, milli)


def test_arithmetic_and_order() -> None:
    a, b = Quantity.parse("1Gi"), Quantity.parse("512Mi")
    assert str(a + b) == "1536Mi"
    assert str(a - b) == "512Mi"
    assert a > b
    assert Quantity.parse("1000m") == Quantity.parse("1")
    assert str(Quantity.parse("0") + a) == "1Gi"
    assert str(Quantity.of(2048, BINARY_SI)) == "2Ki"
    assert str(Quantity.of_milli(250)) == "250m"
    assert str(-b * 2) == "-1Gi"
    assert not Quantity.parse("0m")

"""What is found out about the host before anything is touched."""

from __future__ import annotations

import pytest

from skiff.cluster.host import has_address


@pytest.mark.parametrize(
    ("address", "is_here"),
    [("127.0.0.1", True), ("192.0.2.1", False), ("2001:db8::1", False), ("nonsense.invalid", False)],
)
def test_a_node_can_only_have_an_address_of_its_host(address: str, is_here: bool) -> None:
    assert has_address(address) is is_here

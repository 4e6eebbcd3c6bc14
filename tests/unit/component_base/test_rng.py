"""Identifiers made without the uuid module are still what it would make."""

from __future__ import annotations

import uuid

from component_base.rng import seeded, suffix, uuid4


def test_identifiers_are_random_uuids_in_their_canonical_form() -> None:
    made = {uuid4() for _ in range(1000)}
    assert len(made) == 1000
    for text in made:
        found = uuid.UUID(text)
        assert (str(found), found.version, found.variant) == (text, 4, uuid.RFC_4122)


def test_suffixes_are_five_letters_of_which_none_is_left_out() -> None:
    rng = seeded(1)
    made = [suffix(rng) for _ in range(2000)]
    assert {len(one) for one in made} == {5}
    for place in range(5):
        assert {one[place] for one in made} == set("bcdfghjklmnpqrstvwxz2456789")

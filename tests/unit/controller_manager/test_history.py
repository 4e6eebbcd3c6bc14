"""Revisions as clients read them."""

import msgspec

from controller_manager.history import template_patch


def test_the_data_of_a_revision_is_sorted_at_every_level() -> None:
    template = msgspec.Raw(b'{"spec":{"containers":[{"name":"a","image":"i"}]},"metadata":{"labels":{"b":"","a":""}}}')
    assert msgspec.json.encode(template_patch(template)) == (
        b'{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"","b":""}},'
        b'"spec":{"containers":[{"image":"i","name":"a"}]}}}}'
    )

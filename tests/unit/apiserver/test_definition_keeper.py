"""Names that a definition gives up are free, however the news and the answer to a write overtake each other."""

from types import SimpleNamespace
from typing import Any

from apiserver.extensions.keeper import Keeper
from apiserver.storage.cache import DELETED
from component_base.clock import ManualClock

NAME = "crontabs.example.com"
OBJECT: dict[str, Any] = {
    "metadata": {"name": NAME},
    "spec": {"group": "example.com"},
    "status": {"acceptedNames": {"plural": "crontabs", "shortNames": ["ct"]}},
}


async def test_a_deletion_that_is_heard_of_before_its_write_is_answered_frees_the_names() -> None:
    entries: dict[str, Any] = {NAME: SimpleNamespace(peek=lambda: OBJECT)}
    cache = SimpleNamespace(listen=lambda hear: None, get=lambda namespace, name: entries.get(name))
    keeper: Keeper

    async def update_raw(*_: Any) -> dict[str, Any]:
        gone = entries.pop(NAME)
        change: Any = SimpleNamespace(type=DELETED, entry=gone)
        keeper._hear(change)
        return OBJECT

    feed: Any = SimpleNamespace(cache=lambda info: cache)
    objects: Any = SimpleNamespace(update_raw=update_raw)
    unused: Any = None
    keeper = Keeper(feed, objects, unused, unused, ManualClock())
    keeper._names["example.com"] = {NAME: OBJECT["status"]["acceptedNames"]}
    await keeper._write(NAME, lambda current: current)
    assert keeper._names["example.com"] == {}

"""What is cleared at start: folders of pods that are no more, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from kubelet.cri_shim.leftovers import remove_leftovers
from kubelet.cri_shim.settings import Settings


def test_only_what_nobody_knows_is_removed(tmp_path: Path) -> None:
    settings = Settings(root=str(tmp_path / "root"), state=str(tmp_path / "state"))
    known = [
        settings.sandbox_root("kept"),
        settings.io("container"),
        settings.container_root("container"),
        settings.netns("kept"),
    ]
    gone = [
        settings.sandbox_root("lost"),
        settings.io("other"),
        settings.container_root("other"),
        os.path.join(settings.state, "exec", "any"),
    ]
    for path in (*known, *gone):
        os.makedirs(path)
    remove_leftovers(settings, {"kept"}, {"container"})
    assert all(os.path.exists(path) for path in known)
    assert not any(os.path.exists(path) for path in gone)


def test_a_first_start_finds_nothing(tmp_path: Path) -> None:
    assert remove_leftovers(Settings(root=str(tmp_path / "r"), state=str(tmp_path / "s")), (), ()) == []

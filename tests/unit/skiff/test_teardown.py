"""What `skiff down` takes away, and what it must leave to others."""

from __future__ import annotations

from pathlib import Path

from skiff.cluster import teardown
from skiff.cluster.layout import Layout


def test_cgroups_of_our_pods_go_and_those_of_others_stay(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path / "state")
    (layout.kubelet / "pods" / "ours").mkdir(parents=True)
    root = tmp_path / "cgroup"
    gone = [root / "kubepods/podours", root / "memory/kubepods/podours", root / "cpu/kubepods/burstable/podours"]
    kept = [root / "memory/kubepods/podother", root / "cpu/kubepods/burstable/podother"]
    for folder in (*gone, *kept):
        (folder / "container").mkdir(parents=True)
    busy = root / "pids/kubepods/podours/container/process"
    busy.parent.mkdir(parents=True)
    busy.write_text("1")
    teardown.remove_cgroups(layout, root)
    assert not any(folder.exists() for folder in gone)
    assert all(folder.exists() for folder in kept)
    assert busy.exists()

"""Which of the kubelet's files other users of the host can reach."""

from __future__ import annotations

import stat
from pathlib import Path

from kubelet.run import hide_pods


def test_what_pods_hold_is_out_of_reach_for_other_users(tmp_path: Path) -> None:
    hide_pods(tmp_path / "kubelet")
    assert stat.S_IMODE((tmp_path / "kubelet" / "pods").stat().st_mode) == 0o750


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "pods").mkdir(mode=0o755)
    hide_pods(tmp_path)
    assert stat.S_IMODE((tmp_path / "pods").stat().st_mode) == 0o750

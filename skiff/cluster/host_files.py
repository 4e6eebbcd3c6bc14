"""Files a node needs before its services start: folders with the right modes, containerd's configuration."""

from __future__ import annotations

import shutil
from pathlib import Path

from kubelet.cri_shim.containerd_config import containerd_config
from skiff.cluster import plan
from skiff.cluster.layout import MAX_RUN_PATH, Layout
from skiff.cluster.settings import Settings, SettingsError


def prepare(settings: Settings, layout: Layout) -> None:
    """Raises SettingsError where a path cannot be used."""
    if len(str(layout.run)) > MAX_RUN_PATH:
        raise SettingsError(f"--state-dir: {layout.state} is too long a path for unix sockets; choose a shorter one")
    for folder, mode in (
        (layout.state, 0o711),
        (layout.run, 0o711),
        (layout.logs, 0o750),
        (layout.pki, 0o700),
        (layout.kubeconfigs, 0o700),
        (layout.cni_configuration, 0o755),
        (layout.shim, 0o711),
        (layout.kubelet, 0o755),
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
        except OSError as error:
            raise SettingsError(f"{folder} cannot be made: {error.strerror}") from error
    text = containerd_config(
        root=str(layout.containerd_root),
        state=str(layout.containerd_state),
        socket=str(layout.containerd_socket),
        cri_plugin=settings.container_runtime == "containerd",
        cni_bin_dir=str(plan.cni_folder()),
        cni_conf_dir=str(layout.cni_configuration),
    )
    layout.containerd_config.write_text(text)


def remove(layout: Layout) -> list[Path]:
    """Everything of the cluster on this host. Returns folders that could not be removed."""
    left = []
    for folder in (layout.state, layout.run, layout.logs):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            left.append(folder)
    return left

"""The configuration of a containerd of our own: its own root, state and socket, nothing shared with the host's."""

from __future__ import annotations

import json


def containerd_config(
    root: str,
    state: str,
    socket: str,
    cri_plugin: bool = False,
    *,
    cni_bin_dir: str = "/usr/lib/cni",
    cni_conf_dir: str = "/etc/cni/net.d",
    pause_image: str = "skiff.local/pause:1",
    restrict_oom_score_adj: bool = True,
) -> str:
    """The text for `containerd --config`.

    With `cri_plugin` containerd serves CRI itself on `socket`, for a kubelet that is to run without the shim.
    `pause_image` must then be loaded beforehand, and `restrict_oom_score_adj` allows it to run without
    CAP_SYS_RESOURCE.
    """
    quoted = json.dumps
    disabled = ["io.containerd.internal.v1.opt"]
    if not cri_plugin:
        disabled.append("io.containerd.grpc.v1.cri")
    lines = [
        "version = 2",
        f"root = {quoted(root)}",
        f"state = {quoted(state)}",
        f"disabled_plugins = {quoted(disabled)}",
        "",
        "[grpc]",
        f"  address = {quoted(socket)}",
        "",
        "[debug]",
        '  level = "warn"',
    ]
    if cri_plugin:
        plugin = '[plugins."io.containerd.grpc.v1.cri"'
        lines += [
            "",
            f"{plugin}]",
            f"  sandbox_image = {quoted(pause_image)}",
            f"  restrict_oom_score_adj = {quoted(restrict_oom_score_adj)}",
            '  stream_server_address = "127.0.0.1"',
            '  stream_server_port = "0"',
            f"  {plugin[1:]}.cni]".replace("  ", "  [", 1),
            f"    bin_dir = {quoted(cni_bin_dir)}",
            f"    conf_dir = {quoted(cni_conf_dir)}",
        ]
    return "\n".join(lines) + "\n"

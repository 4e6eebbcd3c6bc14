"""Where a cluster keeps its files. Every path of skiff on a host is one of these and nothing else is ever removed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_STATE = Path("/var/lib/skiff")
#: Unix socket paths are limited to 107 bytes by the kernel; the longest name we put below `run` takes 60.
MAX_RUN_PATH = 47


@dataclass(frozen=True, slots=True)
class Layout:
    """`state` survives restarts, `run` holds sockets and pid files, `logs` one file for each service."""

    state: Path
    run: Path
    logs: Path

    @classmethod
    def of(cls, state_dir: Path) -> Layout:
        """Sockets and logs of the default state folder go where Linux keeps them; those of another stay with it."""
        state = state_dir.absolute()
        if state == DEFAULT_STATE:
            return cls(state, Path("/run/skiff"), Path("/var/log/skiff"))
        return cls(state, state / "run", state / "log")

    @property
    def settings(self) -> Path:
        return self.state / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def kubeconfigs(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.kubeconfigs / "admin.conf"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"

    @property
    def containerd_root(self) -> Path:
        return self.state / "containerd"

    @property
    def containerd_state(self) -> Path:
        return self.run / "containerd"

    @property
    def containerd_config(self) -> Path:
        return self.state / "containerd.toml"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def cri_socket(self) -> Path:
        return self.run / "cri.sock"

    @property
    def cni_configuration(self) -> Path:
        return self.state / "cni"

    @property
    def shim(self) -> Path:
        return self.state / "cri-shim"

    @property
    def status(self) -> Path:
        return self.run / "status.json"

    @property
    def supervisor_pid(self) -> Path:
        return self.run / "supervisor.pid"

    def log_of(self, service: str) -> Path:
        return self.logs / f"{service}.log"

"""Every command of kubectl that talks to a server: the sessions in `kubectl/`, with the kubectls of this machine.

By default the oldest and the newest share the sessions out among themselves. KUBECTLS=all plays each session with each
kubectl, and with those that KUBECTL_PROGRAMS names (paths, with colons between them): `make test-kubectls`. What needs
containers (logs, exec, attach, port-forward, cp) is in tests/e2e.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.e2e.cluster import KUBECTL_FOLDERS, kubectls, need
from tests.integration.apiserver.kubectl_sessions import Terminal, sessions
from tests.integration.cluster_parts import ApiServer, launch, start_apiserver, start_store
from tests.integration.ports import free_port

PLAYERS = 2
"""Sessions at once; the wait is for kubectl's start most of the time."""
PATIENCE = 60.0


def programs() -> list[Path]:
    if os.environ.get("KUBECTLS") != "all":
        return kubectls()
    found = [path for folder in KUBECTL_FOLDERS for path in sorted(Path(folder).glob("kubectl.1.*"))]
    return [*found, *(Path(name) for name in os.environ.get("KUBECTL_PROGRAMS", "").split(":") if name)]


def plays() -> list[tuple[Path, Path]]:
    """Which session is played with which kubectl."""
    every = list(itertools.product(sessions(), programs()))
    if os.environ.get("KUBECTLS") == "all" or len(every) == len(sessions()):
        return every
    return [play for index, play in enumerate(every) if (index + index // 2) % 2]


def name(play: tuple[Path, Path]) -> str:
    return f"{play[0].stem}-{play[1].name}"


PLAYS = plays()


@dataclass
class Stage:
    """An apiserver with controllers, where the sessions run side by side, each in a namespace of its own."""

    server: ApiServer
    folder: Path
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(PLAYERS))

    def begin(self, session: Path, program: Path) -> Future[None]:
        return self.pool.submit(self._play, session, program)

    def _play(self, session: Path, program: Path) -> None:
        namespace = re.sub("[^a-z0-9]+", "-", f"{session.stem}-{program.name}")
        with self.server.http() as api:
            assert api.post("/api/v1/namespaces", json={"metadata": {"name": namespace}}).status_code == 201
            for made in ("configmaps/kube-root-ca.crt", "serviceaccounts/default"):
                wait_for(api, f"/api/v1/namespaces/{namespace}/{made}")
        Terminal.open(program, self.server.kubeconfig(), namespace, self.folder / namespace).play(session)


def wait_for(api: httpx.Client, path: str) -> None:
    """Until the controllers have made it."""
    end = time.monotonic() + PATIENCE
    while api.get(path).status_code != 200:
        assert time.monotonic() < end, f"{path} is not made"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("kubectl")
    with start_store(folder / "store") as store, start_apiserver(folder, store.url) as server:
        pki = server.certificates.folder
        argv = [
            *(sys.executable, "-m", "controller_manager", f"--kubeconfig={server.kubeconfig()}", "--controllers=*"),
            *("--bind-address=127.0.0.1", f"--secure-port={free_port()}", "--leader-elect=false"),
            *(f"--root-ca-file={pki / 'ca.crt'}", f"--service-account-private-key-file={pki / 'sa.key'}"),
            *(f"--cluster-signing-cert-file={pki / 'ca.crt'}", f"--cluster-signing-key-file={pki / 'ca.key'}"),
        ]
        with launch("controllers", argv, folder):
            yield Stage(server, folder)


@pytest.fixture(scope="module")
def played(stage: Stage, request: pytest.FixtureRequest) -> Iterator[dict[tuple[Path, Path], Future[None]]]:
    """All that pytest has chosen, begun at once."""
    names = {item.name for item in request.session.items}
    chosen = [play for play in PLAYS if f"test_a_session[{name(play)}]" in names]
    with stage.pool:
        begun = {play: stage.begin(*play) for play in chosen}
        yield begun
        for future in begun.values():
            future.cancel()


def test_there_is_a_kubectl() -> None:
    need(bool(PLAYS), "there is no kubectl on this machine")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("play", PLAYS, ids=name)
def test_a_session(play: tuple[Path, Path], played: dict[tuple[Path, Path], Future[None]]) -> None:
    played[play].result()

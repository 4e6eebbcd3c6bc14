"""What a container that has ended leaves behind for its pod's status."""

from pathlib import Path
from typing import Any

import pytest

from kubelet.containers import config as labels
from kubelet.cri.observe import observe_pod
from skiff_pb.cri import runtime_pb2 as cri


class OneContainer:
    """A runtime that knows one container and no sandbox."""

    def __init__(self, status: cri.ContainerStatus) -> None:
        self._status = status

    async def list_sandboxes(self, uid: str) -> list[Any]:
        return []

    async def list_containers(self, uid: str) -> list[cri.Container]:
        return [cri.Container(id="c")]

    async def container_status(self, container: str) -> cri.ContainerStatus:
        return self._status


LOG = b"""2027-01-01T00:00:00.000000000Z stdout F first
2027-01-01T00:00:00.000000001Z stdout P sec
2027-01-01T00:00:00.000000002Z stdout F ond
"""


@pytest.mark.parametrize(
    ("exit_code", "more", "message"),
    [
        (1, b"", "first\nsecond\n"),
        (1, b"2027-01-01T00:00:00.000000003Z stdout P no end\n", "first\nsecond\nno end"),
        (0, b"", ""),
    ],
)
async def test_a_failed_container_is_explained_by_its_log(
    tmp_path: Path, exit_code: int, more: bytes, message: str
) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(LOG + more)
    status = cri.ContainerStatus(
        id="c", state=cri.CONTAINER_EXITED, exit_code=exit_code, log_path=str(log), metadata={"name": "a"}
    )
    status.annotations[labels.MESSAGE_POLICY] = "FallbackToLogsOnError"
    runtime: Any = OneContainer(status)
    (container,) = (await observe_pod(runtime, "u")).containers
    assert container.message == message

"""gRPC's own health service: load balancers and grpc clients ask it whether this member serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from component_base.clock import Clock
from component_base.rpc import CallContext, Code, RpcError
from etcd_raft.server.access import Access
from skiff_pb.etcd import health_pb2

_LOOK_SECONDS: Final = 1.0


class HealthService:
    """Serving means that a leader is known: without one neither writes nor linearizable reads can succeed."""

    def __init__(self, access: Access, clock: Clock, names: frozenset[str]) -> None:
        self.access = access
        self._clock = clock
        self._names = names | {""}

    async def check(
        self, request: health_pb2.HealthCheckRequest, context: CallContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._names:
            raise RpcError(Code.NOT_FOUND, f"unknown service {request.service}")
        return health_pb2.HealthCheckResponse(status=self._status())

    async def watch(
        self, request: health_pb2.HealthCheckRequest, context: CallContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        if request.service not in self._names:
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        told: int | None = None
        while True:
            status = self._status()
            if request.service in self._names and status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
            await self._clock.sleep(_LOOK_SECONDS)

    def _status(self) -> health_pb2.HealthCheckResponse.ServingStatus:
        kinds = health_pb2.HealthCheckResponse
        return kinds.SERVING if self.access.node.leader_id else kinds.NOT_SERVING

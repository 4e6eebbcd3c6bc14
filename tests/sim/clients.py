"""Clients of a simulated store: they write, read, watch, hold leases and compact, and write down what they see."""

from __future__ import annotations

import asyncio
from typing import Any

from component_base.rpc import RpcError
from skiff_pb.etcd import auth_pb2, rpc_pb2
from tests.history.operations import Operation, WatchRecord
from tests.sim.host import Host
from tests.sim.stack import LEASE_TOLERANCE, Stack
from tests.sim.wires import Line, StreamLine

KEYS = [b"k/%d" % n for n in range(6)]
END = b"k0"
FORBIDDEN = b"secret"
Put, Range, Delete, Op = (
    rpc_pb2.PutRequest,
    rpc_pb2.RangeRequest,
    rpc_pb2.DeleteRangeRequest,
    rpc_pb2.RequestOp,
)


class Client:
    """`is_over`: no new work; what is under way is finished."""

    def __init__(self, name: str, stack: Stack) -> None:
        self.name = name
        self.stack = stack
        self.rng = stack.rng
        self.line = Line(stack)
        self.host = self.another()
        self.is_over = False
        self._count = 0
        self.seen = 1

    def another(self) -> Host:
        return self.rng.choice([host for host in self.stack.hosts.values() if not host.is_gone])

    def value(self) -> bytes:
        self._count += 1
        return b"%s-%d" % (self.name.encode(), self._count)

    async def run(self) -> None:
        """Until it is over."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self.rng.random())

    async def attempt(self, service: str, rpc: str, request: Any) -> Operation:
        """One recorded call. Whatever goes wrong leaves the outcome unknown."""
        operation = Operation(self.name, request, self.stack.now)
        self.stack.operations.append(operation)
        try:
            operation.response = await self.line.call(self.host, service, rpc, request)
        except RpcError as problem:
            operation.error = problem.message
            self.host = self.another()
        else:
            operation.end = self.stack.now
            self.seen = max(self.seen, operation.response.header.revision)
        return operation


class Writer(Client):
    """Puts, reads, deletes and transactions on a few keys that all writers share."""

    async def run(self) -> None:
        while not self.is_over:
            rpc, request = self.request()
            await self.attempt("KV", rpc, request)
            await self.pause(0.15)

    def request(self) -> tuple[str, Any]:
        key, draw = self.rng.choice(KEYS), self.rng.random()
        if draw < 0.35:
            return "Put", Put(key=key, value=self.value(), prev_kv=self.rng.random() < 0.5)
        if draw < 0.5:
            return "Range", Range(key=key, serializable=self.rng.random() < 0.2)
        if draw < 0.6:
            return "Range", Range(key=b"k/", range_end=END, limit=self.rng.choice([0, 0, 2]))
        if draw < 0.7:
            return "DeleteRange", Delete(key=key, prev_kv=True)
        return "Txn", self.transaction(key)

    def transaction(self, key: bytes) -> rpc_pb2.TxnRequest:
        other = self.rng.choice([k for k in KEYS if k != key])
        success = [Op(request_put=Put(key=key, value=self.value())), Op(request_range=Range(key=other))]
        if self.rng.random() < 0.5:
            success.append(Op(request_delete_range=Delete(key=other)))
        if self.rng.random() < 0.5:
            compare = rpc_pb2.Compare(key=key, target=rpc_pb2.Compare.VERSION, version=0)
        else:
            compare = rpc_pb2.Compare(
                key=key, target=rpc_pb2.Compare.MOD, result=rpc_pb2.Compare.LESS, mod_revision=self.seen
            )
        failure = [Op(request_range=Range(key=key))]
        if self.rng.random() < 0.3:
            inner = rpc_pb2.TxnRequest(success=[Op(request_put=Put(key=other, value=self.value()))])
            failure.append(Op(request_txn=inner))
        return rpc_pb2.TxnRequest(compare=[compare], success=success, failure=failure)


class Tenant(Client):
    """Grants leases, ties keys to them, keeps them alive for a while, then lets go or revokes."""

    async def run(self) -> None:
        while not self.is_over:
            await self.tenancy()
            await self.pause(1.0)

    async def tenancy(self) -> None:
        start = self.stack.now
        lease = self.rng.getrandbits(40) + 1
        try:
            granted = await self.line.call(
                self.host, "Lease", "LeaseGrant", rpc_pb2.LeaseGrantRequest(ID=lease, TTL=self.rng.choice([2, 3]))
            )
        except RpcError:
            self.host = self.another()
            return
        self.promise(lease, start, granted.TTL)
        for number in range(self.rng.randrange(1, 3)):
            key = b"l/%s/%d" % (self.name.encode(), number)
            await self.attempt("KV", "Put", Put(key=key, value=self.value(), lease=lease))
        for _ in range(self.rng.randrange(4)):
            await self.pause(1.0)
            await self.keep_alive(lease)
        if self.rng.random() < 0.3:
            await self.attempt("Lease", "LeaseRevoke", rpc_pb2.LeaseRevokeRequest(ID=lease))
            self.stack.leases_until.pop(lease, None)

    async def keep_alive(self, lease: int) -> None:
        start = self.stack.now
        stream = self.line.stream(self.host, "Lease", "LeaseKeepAlive")
        stream.send(rpc_pb2.LeaseKeepAliveRequest(ID=lease))
        try:
            answer = await asyncio.wait_for(stream.receive(), 3.0)
            if answer.TTL > 0:
                self.promise(lease, start, answer.TTL)
        except (RpcError, TimeoutError):
            self.host = self.another()
        finally:
            stream.close()

    def promise(self, lease: int, start: float, ttl: int) -> None:
        until = start + LEASE_TOLERANCE * ttl
        self.stack.leases_until[lease] = max(until, self.stack.leases_until.get(lease, 0.0))


class Observer(Client):
    """Watches; when a stream breaks it goes on from what it has, at another member."""

    async def run(self) -> None:
        while not self.is_over:
            compacted = max(self.stack.compactions, default=0)
            start = self.rng.choice([0, compacted, compacted, self.seen, self.seen + 3, max(1, self.seen - 12)])
            await self.observe(start)

    async def observe(self, start: int) -> None:
        request = self.request(start)
        is_slow = self.rng.random() < 0.2
        patience = self.rng.choice([2.0, 5.0, 100.0])
        while True:
            record = WatchRecord(self.name, request)
            self.stack.watches.append(record)
            stream = self.line.stream(self.host, "Watch", "Watch")
            stream.send(rpc_pb2.WatchRequest(create_request=request))
            compacted, needed = 0, 0
            try:
                compacted = await self.read(stream, record, is_slow, self.stack.now + patience)
            except RpcError:
                needed = self.next_needed(record)
            record.is_live = False
            stream.close()
            self.host = self.another()
            await self.pause(0.3)
            if compacted:
                needed = compacted
            if not needed:
                return
            resumed = rpc_pb2.WatchCreateRequest()
            resumed.CopyFrom(request)
            resumed.start_revision = needed
            request = resumed

    def request(self, start: int) -> rpc_pb2.WatchCreateRequest:
        key, end = self.rng.choice([(b"k/", END), (b"\0", b"\0"), (KEYS[0], b""), (b"l/", b"l0")])
        filters = [[], [], [], [rpc_pb2.WatchCreateRequest.NODELETE], [rpc_pb2.WatchCreateRequest.NOPUT]]
        return rpc_pb2.WatchCreateRequest(
            key=key,
            range_end=end,
            start_revision=start,
            prev_kv=self.rng.random() < 0.3,
            progress_notify=self.rng.random() < 0.5,
            fragment=self.rng.random() < 0.3,
            filters=self.rng.choice(filters),
        )

    async def read(self, stream: StreamLine, record: WatchRecord, is_slow: bool, until: float) -> int:
        """The revision of the compaction that ended it, or 0 if the client had enough of it."""
        while self.is_over or self.stack.now < until:
            response = await stream.receive()
            record.responses.append(response)
            self.seen = max(self.seen, response.header.revision)
            if response.canceled:
                return int(response.compact_revision)
            if self.rng.random() < 0.1:
                stream.send(rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest()))
            if is_slow and not self.is_over:
                await self.pause(1.0)
        return 0

    def next_needed(self, record: WatchRecord) -> int:
        needed = record.request.start_revision
        for response in record.responses:
            if response.created:
                needed = needed or response.header.revision + 1
            elif response.events and not response.fragment:
                needed = max(needed, response.events[-1].kv.mod_revision + 1)
            elif not response.events and not response.canceled:
                needed = max(needed, response.header.revision + 1)
        return needed


class Compactor(Client):
    async def run(self) -> None:
        while not self.is_over:
            await self.pause(2.0)
            target = self.stack.chronicle.revision - self.rng.randrange(4)
            if target < 2:
                continue
            self.stack.compactions.add(target)
            request = rpc_pb2.CompactionRequest(revision=target, physical=self.rng.random() < 0.3)
            try:
                await self.line.call(self.host, "KV", "Compact", request)
            except RpcError:
                self.host = self.another()


async def enable_accounts(stack: Stack) -> None:
    """root, and one who may touch the keys of the tests but not `secret`. Tried until it is so."""
    permission = rpc_pb2.AuthRoleGrantPermissionRequest(name="worker")
    permission.perm.permType = auth_pb2.Permission.READWRITE
    permission.perm.key, permission.perm.range_end = b"k", b"m"
    steps: list[tuple[str, Any]] = [
        ("UserAdd", rpc_pb2.AuthUserAddRequest(name="root", password="r")),
        ("RoleAdd", rpc_pb2.AuthRoleAddRequest(name="root")),
        ("UserGrantRole", rpc_pb2.AuthUserGrantRoleRequest(user="root", role="root")),
        ("UserAdd", rpc_pb2.AuthUserAddRequest(name="worker", password="w")),
        ("RoleAdd", rpc_pb2.AuthRoleAddRequest(name="worker")),
        ("RoleGrantPermission", permission),
        ("UserGrantRole", rpc_pb2.AuthUserGrantRoleRequest(user="worker", role="worker")),
        ("AuthEnable", rpc_pb2.AuthEnableRequest()),
    ]
    client = Client("accounts", stack)
    for rpc, request in steps:
        while True:
            try:
                await client.line.call(client.host, "Auth", rpc, request)
                break
            except RpcError as problem:
                if "exist" in problem.message:
                    break
                client.host = client.another()
                await asyncio.sleep(0.1)


async def log_in(client: Client, user: str, password: str) -> None:
    while not client.line.token:
        request = rpc_pb2.AuthenticateRequest(name=user, password=password)
        try:
            client.line.token = (await client.line.call(client.host, "Auth", "Authenticate", request)).token
        except RpcError:
            client.host = client.another()
            await asyncio.sleep(0.1)


class Intruder(Client):
    """Tries what it may not, known or unknown: nothing of it must ever be committed."""

    async def run(self) -> None:
        known = self.line.token
        while not self.is_over:
            self.line.token = self.rng.choice(["", "made up", known])
            await self.attempt("KV", "Put", Put(key=FORBIDDEN, value=self.value()))
            await self.pause(1.0)

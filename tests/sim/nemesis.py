"""What goes wrong around a simulated store, one stroke at a time."""

from __future__ import annotations

import asyncio
import errno

from component_base.rpc import RpcError
from skiff_pb.etcd import rpc_pb2
from tests.sim.host import Host
from tests.sim.stack import Conditions, Stack
from tests.sim.wires import Line


class Nemesis:
    def __init__(self, stack: Stack, changes_members: bool) -> None:
        self.stack = stack
        self.rng = stack.rng
        self.changes_members = changes_members
        self.is_over = False
        self._line = Line(stack)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1.2 * self.rng.random())
            if self.is_over:
                return
            if self.changes_members and self.rng.random() < 0.3:
                await self.reconfigure()
            else:
                self.strike()

    def hosts(self) -> list[Host]:
        return [host for host in self.stack.hosts.values() if not host.is_gone]

    def victim(self) -> Host:
        leader = self.stack.leader()
        if leader is not None and self.rng.random() < 0.5:
            return leader.host
        return self.rng.choice(self.hosts())

    def strike(self) -> None:
        stack, host = self.stack, self.victim()
        match self.rng.randrange(13):
            case 0 | 1:
                stack.crash(host, power_cut=self.rng.random() < 0.7)
            case 2 | 3:
                for other in self.hosts():
                    stack.boot(other)
            case 4 | 5:
                self.isolate(host, both_ways=self.rng.random() < 0.6)
            case 6 | 12:
                stack.blocked.clear()
                stack.note("the network heals")
            case 7:
                stack.stop(host)
                stack.loop.call_later(self.rng.choice([0.3, 1.5, 4.0]), stack.go_on, host)
            case 8:
                host.wall_offset += self.rng.choice([-3600.0, 3600.0, 86400.0])
                stack.note(f"m{host.member:x}: the wall clock jumps")
            case 9:
                host.disk_pace = self.rng.choice([1.0, 10.0, 50.0])
                stack.note(f"m{host.member:x}: the disk is {host.disk_pace:g} times slower")
            case 10:
                host.disk_error = self.rng.choice([errno.EIO, errno.ENOSPC])
            case 11:
                self.hand_over()

    def isolate(self, host: Host, both_ways: bool) -> None:
        others = [other.member for other in self.hosts()]
        self.stack.blocked |= {(host.member, other) for other in others}
        if both_ways:
            self.stack.blocked |= {(other, host.member) for other in others}
        self.stack.note(f"m{host.member:x} is cut off{'' if both_ways else ' in one direction'}")

    def hand_over(self) -> None:
        leader = self.stack.leader()
        if leader is not None and not leader.is_stopped:
            leader.replica.raw.transfer_leader(self.rng.choice(self.hosts()).member)

    # Members

    async def reconfigure(self) -> None:
        """At most five members, at least three, asked for at whoever leads."""
        leader = self.stack.leader()
        if leader is None:
            return
        members = leader.node.members()
        learners = [member.id for member in members if member.is_learner]
        newcomers = [m.id for m in members if m.id not in {f.id for f in self.stack.founders}]
        try:
            if learners and self.rng.random() < 0.6:
                await self._ask(leader.host, "MemberPromote", rpc_pb2.MemberPromoteRequest(ID=learners[0]))
            elif len(members) < 5:
                await self.add(leader.host)
            elif newcomers:
                request = rpc_pb2.MemberRemoveRequest(ID=self.rng.choice(newcomers))
                await self._ask(leader.host, "MemberRemove", request)
        except RpcError:
            pass

    async def add(self, asked: Host) -> None:
        url = f"http://n{len(self.stack.hosts) + 1}:1"
        request = rpc_pb2.MemberAddRequest(peerURLs=[url], isLearner=self.rng.random() < 0.8)
        answer = await self._ask(asked, "MemberAdd", request)
        known = asked.life.node.members() if asked.life is not None else []
        host = Host(answer.member.ID, joins=tuple(known))
        self.stack.hosts[host.member] = host
        self.stack.note(f"m{host.member:x} joins")
        self.stack.boot(host)

    async def _ask(self, host: Host, rpc: str, request: object) -> rpc_pb2.MemberAddResponse:
        self.stack.note(f"m{host.member:x} is asked for {rpc}")
        found: rpc_pb2.MemberAddResponse = await self._line.call(host, "Cluster", rpc, request)
        return found

    def mend(self) -> None:
        """All is well again, and stays so."""
        self.is_over = True
        stack = self.stack
        stack.note("calm")
        stack.weather = Conditions()
        stack.blocked.clear()
        for host in stack.hosts.values():
            host.disk_pace, host.disk_error = 1.0, 0
            stack.go_on(host)
            stack.boot(host)

    def start_everybody(self) -> None:
        """Members whose adding was never answered exist as well; an operator finds them in the list."""
        leader = self.stack.leader()
        members = leader.node.members() if leader is not None else []
        for member in members:
            if member.id not in self.stack.hosts:
                self.stack.hosts[member.id] = Host(member.id, joins=tuple(members))
        for host in list(self.stack.hosts.values()):
            self.stack.boot(host)

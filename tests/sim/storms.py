"""One run of the whole store in bad weather, and its verdict. `python -m tests.sim.storms SEED` replays one, told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

from component_base.rpc import RpcError
from etcd_raft.auth import credentials
from skiff_pb.etcd import rpc_pb2
from tests.history.operations import Violation
from tests.sim.clients import FORBIDDEN, Client, Compactor, Intruder, Observer, Tenant, Writer, enable_accounts, log_in
from tests.sim.nemesis import Nemesis
from tests.sim.stack import Conditions, Stack

STORM_SECONDS = 10.0
CALM_SECONDS = 30.0
#: Scrypt takes tens of milliseconds on purpose; here nobody guesses passwords.
CHEAP = 2


class Storm:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.stack = Stack(seed, size=5 if seed % 5 == 1 else 3)
        self.has_accounts = seed % 7 == 2
        self.nemesis = Nemesis(self.stack, changes_members=seed % 3 == 0)
        self.clients: list[Client] = []

    def run(self) -> Stack:
        """Raises Violation, or whatever broke."""
        stack = self.stack
        cost, credentials._COST = credentials._COST, CHEAP  # type: ignore[misc]
        try:
            stack.run(self._story())
            stack.raise_problem()
        except BaseException:
            sys.stderr.write("\n".join([f"seed {self.seed}, {stack.weather}", *stack.trace[-80:], ""]))
            raise
        finally:
            credentials._COST = cost  # type: ignore[misc]
        return stack

    async def _story(self) -> None:
        stack = self.stack
        weather, stack.weather = stack.weather, Conditions()
        for host in stack.hosts.values():
            stack.boot(host)
        await asyncio.sleep(2.0)
        if self.has_accounts:
            await self._within_reach(enable_accounts(stack), "accounts are not enabled")
        stack.weather = weather
        for number in range(3):
            self._begin(Writer(f"w{number}", stack), "worker")
        for number in range(2):
            self._begin(Tenant(f"t{number}", stack), "worker")
        for number in range(3):
            self._begin(Observer(f"o{number}", stack), "root")
        if stack.rng.random() < 0.6:
            self._begin(Compactor("c", stack), "root")
        if self.has_accounts:
            self._begin(Intruder("i", stack), "worker")
        strikes = stack.loop.create_task(self.nemesis.run())
        await asyncio.sleep(STORM_SECONDS)
        self.nemesis.mend()
        await self._settle()
        await strikes
        stack.judge()
        if any(change.key == FORBIDDEN for changes in stack.chronicle.changes for change in changes):
            raise Violation("somebody has written what nobody may")

    async def _within_reach(self, work: Coroutine[Any, Any, None], complaint: str) -> None:
        try:
            await asyncio.wait_for(work, CALM_SECONDS)
        except TimeoutError:
            raise Violation(f"{complaint} although all is well") from None

    def _begin(self, client: Client, user: str) -> None:
        async def first_log_in() -> None:
            if self.has_accounts and user:
                await log_in(client, user, "r" if user == "root" else "w")
            await client.run()

        self.clients.append(client)
        self.stack.client(first_log_in())

    async def _settle(self) -> None:
        """Within reach of a few elections, writes must go through, leases end and everybody agree."""
        stack = self.stack
        await asyncio.sleep(3.0)
        self.nemesis.start_everybody()
        for client in self.clients:
            client.is_over = True
        writer = Client("last", stack)
        if self.has_accounts:
            await self._within_reach(log_in(writer, "worker", "w"), "nobody can log in")
        until = stack.now + CALM_SECONDS
        put = rpc_pb2.PutRequest(key=b"k/last", value=b"x")
        while (await writer.attempt("KV", "Put", put)).response is None:
            if stack.now > until:
                raise Violation("no write goes through although all is well")
            await asyncio.sleep(0.5)
        self.nemesis.start_everybody()
        await asyncio.sleep(8.0)
        for life in stack.lives():
            if life.machine.leases.leases:
                raise Violation(f"m{life.host.member:x} has leases that ended long ago: {life.machine.leases.rows()}")


def main() -> None:
    for seed in map(int, sys.argv[1:]):
        stack = Storm(seed).run()
        sys.stdout.write("\n".join([*stack.trace, f"{len(stack.operations)} operations, {stack.chronicle.revision}\n"]))


if __name__ == "__main__":
    try:
        main()
    except (RpcError, Violation) as problem:
        sys.exit(str(problem))

"""Three members, each in a network namespace of its own on one bridge; the test, as the clients, is on the bridge too.

Between members messages can be cut in either direction, while clients go on reaching everybody. Needs root.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.integration.etcd_raft.processes import Credentials, MemberProcess

NETWORK = "10.197.3"
BRIDGE = "skchaos"
HERE = f"{NETWORK}.254"


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _quiet(*command: str) -> None:
    subprocess.run(command, check=False, capture_output=True)


class Node:
    """A namespace with one address on the bridge."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.namespace = f"{BRIDGE}{number}"
        self.address = f"{NETWORK}.{number}"
        self.link = f"{BRIDGE}v{number}"

    def make(self) -> None:
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "link", "set", self.link, "master", BRIDGE, "up")
        for command in (("addr", "add", f"{self.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            run("ip", "-n", self.namespace, *command)
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")

    def remove(self) -> None:
        _quiet("ip", "netns", "delete", self.namespace)
        _quiet("ip", "link", "delete", self.link)

    def deaf_to(self, *others: Node) -> None:
        for other in others:
            self._rule("-A", "INPUT", "-s", other.address)

    def dumb_to(self, *others: Node) -> None:
        for other in others:
            self._rule("-A", "OUTPUT", "-d", other.address)

    def _rule(self, *words: str) -> None:
        run("ip", "netns", "exec", self.namespace, "iptables", "-w", *words, "-j", "DROP")

    def heal(self) -> None:
        run("ip", "netns", "exec", self.namespace, "iptables", "-w", "-F")

    def unplug(self) -> None:
        run("ip", "link", "set", self.link, "down")

    def plug_in(self) -> None:
        run("ip", "link", "set", self.link, "up")


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = [Node(number) for number in (1, 2, 3, 4)]
        self.credentials = Credentials(folder, [HERE, *(node.address for node in self.nodes)])
        self.members: list[MemberProcess] = []

    def member(self, number: int, folder: Path | None = None, flags: Sequence[str] = ()) -> MemberProcess:
        node = self.nodes[number - 1]
        made = MemberProcess.make(f"m{number}", folder or self.folder, self.credentials, *flags)
        made.host, made.prefix = node.address, ("ip", "netns", "exec", node.namespace)
        return made

    def node(self, member: MemberProcess) -> Node:
        return next(node for node in self.nodes if node.address == member.host)

    def others(self, member: MemberProcess) -> list[Node]:
        return [node for node in self.nodes if node.address != member.host]

    def heal(self) -> None:
        for node in self.nodes:
            node.heal()
            node.plug_in()

    @property
    def cluster(self) -> str:
        return ",".join(f"{member.name}={member.peer_url}" for member in self.members)


@contextmanager
def laboratory(folder: Path) -> Iterator[Lab]:
    """What an earlier run left over is removed first."""
    lab = Lab(folder)
    _sweep(lab)
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "addr", "add", f"{HERE}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    try:
        for node in lab.nodes:
            node.make()
        yield lab
    finally:
        for member in lab.members:
            member.end()
        _sweep(lab)


def _sweep(lab: Lab) -> None:
    for node in lab.nodes:
        node.remove()
    _quiet("ip", "link", "delete", BRIDGE)

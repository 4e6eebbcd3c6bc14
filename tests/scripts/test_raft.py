"""Stories about the Raft core as text: commands, a line of dashes, and what the members said and became.

The stories lie in `tests/scripts/raft/*.txt`. After a deliberate change of behaviour run them once with
`REWRITE_SCRIPTS=1` and read the difference in git before committing it.

    members voters=1,2,3 learners=4 catch-up=2     starts the story
    campaign 1 · propose 1 a b · read 1 · transfer 1 3 · compact 1 · change 1 add-learner 4
    tick 1 x10      only this member's clock            tick x10     everybody's
    deliver         until silence                       deliver 2    as many messages
    isolate 1 · heal · lose append                      drop what they match, from now on
    state · log 2 · applied 2                           what they are now
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etcd_raft.raft import Change, ChangeKind, EntryKind, Kind, Message, RaftConfig, SnapshotMeta
from etcd_raft.raft.membership import decode_change
from tests.unit.etcd_raft.network import Network, founded

FOLDER = Path(__file__).parent / "raft"
REWRITE = bool(os.environ.get("REWRITE_SCRIPTS"))
DASHES = "----"


def shown(message: Message) -> str:
    parts = [f"{message.sender}->{message.to} {message.kind.name} term {message.term}"]
    if message.kind is Kind.APPEND:
        entries = " ".join(f"{e.index}:{e.term}:{_payload(e.kind, e.data)}" for e in message.entries)
        parts.append(f"after {message.index}:{message.log_term} [{entries}] commit {message.commit}")
    elif message.kind in (Kind.VOTE, Kind.PRE_VOTE):
        parts.append(f"last {message.index}:{message.log_term}")
    elif message.kind is Kind.SNAPSHOT and message.snapshot is not None:
        parts.append(f"snapshot {message.snapshot.index}:{message.snapshot.term}")
    elif message.kind in (Kind.HEARTBEAT,):
        parts.append(f"commit {message.commit}")
    elif message.kind in (Kind.APPEND_RESPONSE, Kind.READ_INDEX_RESPONSE) and not message.reject:
        parts.append(f"index {message.index}")
    if message.reject:
        parts.append(f"REJECT {message.index} hint {message.reject_hint}:{message.log_term}" if message.index else "NO")
    if message.context:
        parts.append(f"({message.context.decode()})")
    return " ".join(parts)


def _payload(kind: EntryKind, data: bytes) -> str:
    if kind is EntryKind.NORMAL:
        return data.decode() or "-"
    change = decode_change(data)
    return f"{change.kind.name}={change.member_id}"


class Story:
    """Runs commands, collects lines."""

    def __init__(self) -> None:
        self.net = Network()
        self.lines: list[str] = []

    def run(self, command: str) -> None:
        name, *words = command.split()
        action: Callable[[list[str]], None] = getattr(self, "do_" + name.replace("-", "_"))
        action(words)

    def do_members(self, words: list[str]) -> None:
        options = dict(word.split("=") for word in words)
        voters = [int(v) for v in options["voters"].split(",")]
        learners = [int(v) for v in options.get("learners", "").split(",") if v]
        catch_up = int(options.get("catch-up", 1000))
        self.net = Network(
            *(
                founded(m, voters, learners=learners, config=RaftConfig(member_id=m, catch_up_entries=catch_up))
                for m in (*voters, *learners)
            )
        )

    def do_join(self, words: list[str]) -> None:
        member, voters = int(words[0]), [int(v) for v in words[1].split(",")]
        self.net.nodes[member] = founded(member, voters)
        self.net.applied[member], self.net.reads[member] = [], []

    def do_campaign(self, words: list[str]) -> None:
        self.net.nodes[int(words[0])].campaign()

    def do_propose(self, words: list[str]) -> None:
        if not self.net.nodes[int(words[0])].propose([word.encode() for word in words[1:]]):
            self.lines.append("refused")

    def do_read(self, words: list[str]) -> None:
        if not self.net.nodes[int(words[0])].read_index(f"r{words[0]}".encode()):
            self.lines.append("refused")

    def do_transfer(self, words: list[str]) -> None:
        self.net.nodes[int(words[0])].transfer_leader(int(words[1]))

    def do_change(self, words: list[str]) -> None:
        kind = ChangeKind[words[1].upper().replace("-", "_")]
        if not self.net.nodes[int(words[0])].propose_change(Change(kind, int(words[2]))):
            self.lines.append("refused")

    def do_compact(self, words: list[str]) -> None:
        node = self.net.nodes[int(words[0])]
        index = node.log.applied
        term = node.log.term(index)
        assert term is not None
        node.compact(SnapshotMeta(index, term, node.raft.configuration))
        self.lines.append(f"snapshot {index}:{term}, log from {node.log.first}")

    def do_tick(self, words: list[str]) -> None:
        count = next((int(w[1:]) for w in words if w.startswith("x")), 1)
        members = [int(w) for w in words if not w.startswith("x")] or list(self.net.nodes)
        for _ in range(count):
            for member in members:
                self.net.nodes[member].tick()
                self.net.work(member)

    def do_deliver(self, words: list[str]) -> None:
        left = int(words[0]) if words else 1 << 30
        for member in self.net.nodes:
            self.net.work(member)
        while self.net.queue and left:
            left -= 1
            message = self.net.queue.pop(0)
            lost = message.to not in self.net.nodes or self.net.drop(message)
            self.lines.append(shown(message) + (" LOST" if lost else ""))
            if not lost:
                self.net.nodes[message.to].step(message)
                self.net.work(message.to)

    def do_isolate(self, words: list[str]) -> None:
        self.net.isolate(*(int(word) for word in words))

    def do_heal(self, words: list[str]) -> None:
        self.net.heal()

    def do_lose(self, words: list[str]) -> None:
        kinds = {Kind[word.upper().replace("-", "_")] for word in words}
        self.net.drop = lambda message: message.kind in kinds

    def do_state(self, words: list[str]) -> None:
        for member, node in self.net.nodes.items():
            raft, log = node.raft, node.log
            self.lines.append(
                f"{member}: {raft.role.value} term {raft.term} vote {raft.vote} leader {raft.leader} "
                f"log {log.first}..{log.last_index} commit {log.committed}"
            )

    def do_log(self, words: list[str]) -> None:
        log = self.net.nodes[int(words[0])].log
        entries = log.slice(log.first, log.last_index + 1, 1 << 30)
        self.lines.append(" ".join(f"{e.index}:{e.term}:{_payload(e.kind, e.data)}" for e in entries))

    def do_applied(self, words: list[str]) -> None:
        member = int(words[0])
        self.lines.append(" ".join(d.decode() for d in self.net.data(member)))
        self.lines += [f"read at {state.index}" for state in self.net.reads[member]]


def blocks(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """(comment, commands, expected lines); blocks are separated by empty lines."""
    for block in filter(None, (part.strip("\n") for part in text.split("\n\n"))):
        lines = block.split("\n")
        comment = "\n".join(line for line in lines if line.startswith("#"))
        rest = [line for line in lines if not line.startswith("#")]
        cut = rest.index(DASHES) if DASHES in rest else len(rest)
        yield comment, rest[:cut], rest[cut + 1 :]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    story, rendered = Story(), []
    for comment, commands, expected in blocks(path.read_text()):
        story.lines = []
        for command in commands:
            story.run(command)
        if not REWRITE:
            assert story.lines == expected, f"{path.name}: after {commands}"
        body = [comment] if comment else []
        rendered.append("\n".join([*body, *commands, *([DASHES, *story.lines] if commands else [])]))
    if REWRITE:
        path.write_text("\n\n".join(rendered) + "\n")

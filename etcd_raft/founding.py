"""How a member comes to its identity: founds a cluster, joins one, or continues where it stopped.

A member that has lost its data must not found its cluster a second time: it may have voted, and would vote again. So a
founder with an empty folder first asks the others whether they know it already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from component_base.http2.channel import Http2Channel
from component_base.rpc import ClientTls, RpcError
from etcd_raft import roster
from etcd_raft.ports import Member
from etcd_raft.raft import Change, ChangeKind, EntryKind
from etcd_raft.raft.membership import MembershipError, decode_change
from etcd_raft.roster import MemberWords, Roster
from etcd_raft.settings import Settings
from etcd_raft.storage import Restart, Storage
from etcd_raft.transport.addresses import parse_url
from etcd_raft.transport.outgoing import PEER
from etcd_raft.wal import Identity
from skiff_pb.raft import peer_pb2

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0


class FoundingError(Exception):
    """The member cannot start with these flags; says what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    restart: Restart
    seeds: tuple[Member, ...] = ()
    """Members to talk to before the log has named them."""


def founders(settings: Settings) -> list[Member]:
    """The same on every member that is given the same flags."""
    return [
        Member(roster.member_id(urls, settings.cluster_token), name, urls, ())
        for name, urls in settings.initial_cluster.items()
    ]


async def establish(settings: Settings, storage: Storage) -> Origin:
    """Raises FoundingError, CorruptionError, or OSError for the folder."""
    members = founders(settings)
    if await asyncio.to_thread(storage.exists):
        bootstrap = members if settings.is_new_cluster else ()
        restart = await asyncio.to_thread(storage.open, bootstrap)
        if settings.force_new_cluster:
            restart = await asyncio.to_thread(stand_alone, storage, restart)
        else:
            _check_owner(settings, restart)
        return Origin(restart)
    if await asyncio.to_thread(storage.has_snapshots):
        raise FoundingError(
            f"{settings.data_dir} holds snapshots but no write-ahead log, so what came after them is lost; remove the "
            "member and add it again with an empty data directory, or restore a backup"
        )
    if settings.force_new_cluster:
        raise FoundingError(f"--force-new-cluster goes on from what a lost cluster left; {settings.data_dir} is empty")
    others = [url for m in members if m.name != settings.name for url in m.peer_urls]
    own = next(member for member in members if member.name == settings.name)
    answers = await asyncio.gather(*(ask_members(url, settings.peer_client_tls) for url in others))
    known = [answer for answer in answers if answer is not None]
    if settings.is_new_cluster:
        if any(m.id == own.id and m.client_urls for answer in known for m in answer.members):
            raise FoundingError(
                f"member {own.id:x} ({own.name}) belongs to a running cluster already but its data folder "
                f"{settings.data_dir} is empty; remove it there with `etcdctl member remove`, add it anew and start it "
                "with --initial-cluster-state=existing"
            )
        identity = Identity(roster.cluster_id([m.id for m in members], settings.cluster_token), own.id)
        for url, answer in zip(others, answers, strict=True):
            if answer is not None and answer.cluster_id != identity.cluster_id:
                raise FoundingError(
                    f"the member at {url} is of cluster {answer.cluster_id:x}, but these flags found cluster "
                    f"{identity.cluster_id:x}; give all members the same --initial-cluster and --initial-cluster-token"
                )
        nameless = [Member(m.id, "", m.peer_urls, ()) for m in members]
        return Origin(await asyncio.to_thread(storage.create, identity, nameless))
    return await _join(settings, storage, known)


def _roster(restart: Restart) -> Roster:
    """As the folder knows it; its last changes may not be committed."""
    known = Roster.decode(restart.snapshot.header.membership) if restart.snapshot is not None else Roster()
    for entry in restart.entries:
        if entry.kind is not EntryKind.NORMAL:
            change = decode_change(entry.data)
            with contextlib.suppress(MembershipError):
                known.check(change)
                known.apply(change)
    return known


def _check_owner(settings: Settings, restart: Restart) -> None:
    """A member may be renamed or move; one with another name at another address is somebody else."""
    mine = _roster(restart).get(restart.identity.member_id)
    if mine is None or mine.name == settings.name or set(mine.peer_urls) & set(settings.advertise_peer_urls):
        return
    raise FoundingError(
        f"--data-dir {settings.data_dir} belongs to member {mine.id:x} ({mine.name or 'without a name yet'}) at "
        f"{','.join(mine.peer_urls)}, not to {settings.name} at {','.join(settings.advertise_peer_urls)}; give the "
        "folder of this member"
    )


def stand_alone(storage: Storage, restart: Restart) -> Restart:
    """--force-new-cluster: the others are lost for good; go on alone with all that this member holds.

    What it holds may include entries that were never acknowledged; without a majority nobody can tell them apart, and
    dropping them could drop acknowledged ones.
    """
    known = _roster(restart)
    own = restart.identity.member_id
    words = roster.encode_words(MemberWords(0, 0))
    changes = []
    mine = known.get(own)
    if mine is None:
        raise FoundingError(f"member {own:x} is not part of the cluster in its data folder; it cannot go on alone")
    if mine.is_learner:
        changes.append(Change(ChangeKind.ADD_VOTER, own, words))
    changes += [Change(ChangeKind.REMOVE, member.id, words) for member in known.members() if member.id != own]
    log.warning("going on alone: %d other members are removed from the cluster", len(known.members()) - 1)
    return storage.take_over(restart, changes)


async def _join(settings: Settings, storage: Storage, known: Sequence[peer_pb2.MembersReply]) -> Origin:
    if not known:
        raise FoundingError(
            "no member of the cluster answers at the addresses in --initial-cluster; one must run to be joined"
        )
    wanted = set(settings.advertise_peer_urls)
    for answer in known:
        mine = next((m for m in answer.members if wanted & set(m.peer_urls)), None)
        if mine is None:
            continue
        if mine.client_urls:
            raise FoundingError(
                f"a member with peer address {','.join(mine.peer_urls)} has run before but the folder "
                f"{settings.data_dir} is empty; `etcdctl member remove {mine.id:x}`, then add it anew"
            )
        seeds = tuple(
            Member(m.id, m.name, tuple(m.peer_urls), tuple(m.client_urls), m.is_learner)
            for m in answer.members
            if m.id != mine.id
        )
        identity = Identity(answer.cluster_id, mine.id)
        return Origin(await asyncio.to_thread(storage.create, identity), seeds)
    raise FoundingError(
        f"the cluster has no member with peer address {','.join(sorted(wanted))}; run "
        f"`etcdctl member add {settings.name} --peer-urls={','.join(sorted(wanted))}` first"
    )


async def ask_members(url: str, tls: ClientTls | None) -> peer_pb2.MembersReply | None:
    address = parse_url(url)
    channel = Http2Channel(address.target, tls if address.is_tls else None)
    try:
        reply: peer_pb2.MembersReply = await channel.unary(
            PEER, "Members", peer_pb2.MembersRequest(), timeout=ASK_SECONDS
        )
    except RpcError as problem:
        log.debug("nobody answers at %s: %s", url, problem)
        return None
    else:
        return reply
    finally:
        await channel.close()

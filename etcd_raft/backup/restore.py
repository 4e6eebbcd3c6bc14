"""`python -m etcd_raft restore FILE`: the data directory of a member of a new cluster, made from a saved snapshot.

The flags are those of `etcdutl snapshot restore`. Run it for each member, from the same file and with the same
--initial-cluster; then start the members with the same flags. Their ids are new, so no member of the old cluster can
meddle.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from component_base import flags
from component_base.flags import FlagError, FlagSet, Values
from etcd_raft import roster, settings
from etcd_raft.backup import saved
from etcd_raft.backup.saved import SavedError
from etcd_raft.ports import Member
from etcd_raft.raft import Configuration, SnapshotMeta
from etcd_raft.roster import Roster
from etcd_raft.storage import Storage
from etcd_raft.wal import DiskFileSystem, Identity

PROGRAM: Final = "etcd_raft restore"


def _flag_set() -> FlagSet:
    known = FlagSet(PROGRAM, "FILE [flags]: a member's data directory from a saved snapshot")
    known.string("name", "default", "the member's name, as it stands in --initial-cluster")
    known.string("data-dir", "", "folder to make (default <name>.etcd)")
    known.string("initial-cluster", "", "members of the new cluster: name=peer-url,…")
    known.string("initial-cluster-token", "etcd-cluster", "tells clusters apart whose addresses are the same")
    known.strings("initial-advertise-peer-urls", ["http://localhost:2380"], "the member's peer URLs")
    known.boolean("skip-hash-check", False, "take a file without a checksum, or with a wrong one")
    known.integer("bump-revision", 0, "how much to raise the revision, for clients that have seen later ones", 0)
    known.boolean("mark-compacted", False, "call everything up to the raised revision compacted; with --bump-revision")
    return known


def restore(path: Path, values: Values) -> str:
    """Raises SavedError, FlagError, OSError. Returns a sentence about what was made."""
    if bool(values["bump-revision"]) != values["mark-compacted"]:
        raise FlagError("--bump-revision and --mark-compacted go together: give both or neither")
    folder = Path(values["data-dir"] or f"{values['name']}.etcd")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SavedError(f"--data-dir {folder} exists already and is not empty; name a new folder")
    token = values["initial-cluster-token"]
    members = [
        Member(roster.member_id(urls, token), name, urls, ()) for name, urls in settings.initial_cluster(values).items()
    ]
    own = next(member.id for member in members if member.name == values["name"])
    machine = saved.read(path, len(members), values["skip-hash-check"], values["bump-revision"])
    half_made = folder.with_name(folder.name + ".part")
    shutil.rmtree(half_made, ignore_errors=True)
    storage = Storage(DiskFileSystem(), str(half_made))
    ids = [member.id for member in members]
    identity = Identity(roster.cluster_id(ids, token), own)
    nameless = {member.id: Member(member.id, "", member.peer_urls, ()) for member in members}
    storage.create(identity, list(nameless.values()))
    meta = SnapshotMeta(len(members), 1, Configuration(voters=frozenset(ids)))
    writer = storage.create_snapshot(meta, Roster(nameless).encode())
    for chunk in machine.snapshot():
        writer.write(chunk)
    writer.finish()
    storage.mark_snapshot(meta)
    storage.close()
    if folder.exists():
        folder.rmdir()
    half_made.rename(folder)
    DiskFileSystem().sync_directory(str(folder.parent))
    return (
        f"restored revision {machine.space.revision} with {len(machine.space.live)} keys into {folder}: "
        f"member {own:x} of cluster {identity.cluster_id:x}"
    )


def main(arguments: Sequence[str]) -> None:
    files = [a for n, a in enumerate(arguments) if n == 0 and not a.startswith("-")]
    values = _flag_set().parse(arguments[len(files) :])
    if not files:
        flags.fail(PROGRAM, "name the saved file first: python -m etcd_raft restore FILE --data-dir=…")
    try:
        sys.stdout.write(restore(Path(files[0]), values) + "\n")
    except FlagError as problem:
        sys.stderr.write(f"{PROGRAM}: {problem}\n")
        raise SystemExit(2) from None
    except (SavedError, OSError) as problem:
        flags.fail(PROGRAM, str(problem))

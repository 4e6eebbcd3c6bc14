"""What a member keeps on disk: the write-ahead log and the snapshot files, behind a file-system port."""

from etcd_raft.wal.filesystem import DiskFileSystem, File, FileSystem
from etcd_raft.wal.log import Recovered, WriteAheadLog
from etcd_raft.wal.records import CorruptionError, Identity, Marker
from etcd_raft.wal.snapshots import SnapshotFile, SnapshotHeader, SnapshotStore, SnapshotWriter

__all__ = [
    "CorruptionError",
    "DiskFileSystem",
    "File",
    "FileSystem",
    "Identity",
    "Marker",
    "Recovered",
    "SnapshotFile",
    "SnapshotHeader",
    "SnapshotStore",
    "SnapshotWriter",
    "WriteAheadLog",
]

"""How members reach each other: Raft's messages in streams, snapshots in calls of their own, over mutual TLS."""

from etcd_raft.transport.outgoing import PeerTransport
from etcd_raft.transport.receiving import PeerHandler, peer_service

__all__ = ["PeerHandler", "PeerTransport", "peer_service"]

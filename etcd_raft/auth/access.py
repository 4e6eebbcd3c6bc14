"""What a request needs the right to: asked again when it is applied, since the rights may have changed."""

from __future__ import annotations

from etcd_raft.auth.accounts import READ, WRITE, Accounts, Caller
from etcd_raft.lease.table import Lease, LeaseTable
from skiff_pb.etcd import rpc_pb2


def check_range(accounts: Accounts, caller: Caller | None, request: rpc_pb2.RangeRequest) -> None:
    accounts.check(caller, request.key, request.range_end, READ)


def check_put(accounts: Accounts, leases: LeaseTable, caller: Caller | None, request: rpc_pb2.PutRequest) -> None:
    accounts.check(caller, request.key, b"", WRITE)
    lease = leases.leases.get(request.lease)
    if lease is not None:
        check_lease(accounts, caller, lease)
    if request.prev_kv:
        accounts.check(caller, request.key, b"", READ)


def check_delete(accounts: Accounts, caller: Caller | None, request: rpc_pb2.DeleteRangeRequest) -> None:
    accounts.check(caller, request.key, request.range_end, WRITE)
    if request.prev_kv:
        accounts.check(caller, request.key, request.range_end, READ)


def check_txn(accounts: Accounts, leases: LeaseTable, caller: Caller | None, request: rpc_pb2.TxnRequest) -> None:
    """Of both branches, whichever will run."""
    for comparison in request.compare:
        accounts.check(caller, comparison.key, comparison.range_end, READ)
    for branch in (request.success, request.failure):
        for operation in branch:
            kind = operation.WhichOneof("request")
            if kind == "request_range":
                check_range(accounts, caller, operation.request_range)
            elif kind == "request_put":
                check_put(accounts, leases, caller, operation.request_put)
            elif kind == "request_delete_range":
                check_delete(accounts, caller, operation.request_delete_range)
            elif kind == "request_txn":
                check_txn(accounts, leases, caller, operation.request_txn)


def check_lease(accounts: Accounts, caller: Caller | None, lease: Lease) -> None:
    """Who attaches a key to a lease or ends it decides over all keys of the lease."""
    if not accounts.is_admin(caller):
        for key in lease.keys:
            accounts.check(caller, key, b"", WRITE)


def check_lease_read(accounts: Accounts, caller: Caller | None, lease: Lease) -> None:
    if not accounts.is_admin(caller):
        for key in lease.keys:
            accounts.check(caller, key, b"", READ)

from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    __slots__ = ("cluster_id", "sender", "receiver", "messages", "sequence", "sender_urls")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SENDER_URLS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    sender: int
    receiver: int
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    sequence: int
    sender_urls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cluster_id: _Optional[int] = ..., sender: _Optional[int] = ..., receiver: _Optional[int] = ..., messages: _Optional[_Iterable[bytes]] = ..., sequence: _Optional[int] = ..., sender_urls: _Optional[_Iterable[str]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class SnapshotPart(_message.Message):
    __slots__ = ("cluster_id", "sender", "receiver", "message", "membership", "chunk")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    sender: int
    receiver: int
    message: bytes
    membership: bytes
    chunk: bytes
    def __init__(self, cluster_id: _Optional[int] = ..., sender: _Optional[int] = ..., receiver: _Optional[int] = ..., message: _Optional[bytes] = ..., membership: _Optional[bytes] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class SnapshotReceipt(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MembersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PeerMember(_message.Message):
    __slots__ = ("id", "name", "peer_urls", "client_urls", "is_learner")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_URLS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_URLS_FIELD_NUMBER: _ClassVar[int]
    IS_LEARNER_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    peer_urls: _containers.RepeatedScalarFieldContainer[str]
    client_urls: _containers.RepeatedScalarFieldContainer[str]
    is_learner: bool
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., peer_urls: _Optional[_Iterable[str]] = ..., client_urls: _Optional[_Iterable[str]] = ..., is_learner: _Optional[bool] = ...) -> None: ...

class MembersReply(_message.Message):
    __slots__ = ("cluster_id", "member_id", "members")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: int
    member_id: int
    members: _containers.RepeatedCompositeFieldContainer[PeerMember]
    def __init__(self, cluster_id: _Optional[int] = ..., member_id: _Optional[int] = ..., members: _Optional[_Iterable[_Union[PeerMember, _Mapping]]] = ...) -> None: ...

class PromoteRequest(_message.Message):
    __slots__ = ("member_id",)
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    member_id: int
    def __init__(self, member_id: _Optional[int] = ...) -> None: ...

class PromoteReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HashRequest(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class HashReply(_message.Message):
    __slots__ = ("hash", "revision", "compact_revision")
    HASH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    COMPACT_REVISION_FIELD_NUMBER: _ClassVar[int]
    hash: int
    revision: int
    compact_revision: int
    def __init__(self, hash: _Optional[int] = ..., revision: _Optional[int] = ..., compact_revision: _Optional[int] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class LeaseReply(_message.Message):
    __slots__ = ("remaining",)
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    remaining: float
    def __init__(self, remaining: _Optional[float] = ...) -> None: ...

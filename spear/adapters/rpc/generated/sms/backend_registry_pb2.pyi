from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BackendStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BACKEND_STATUS_UNSPECIFIED: _ClassVar[BackendStatus]
    BACKEND_STATUS_AVAILABLE: _ClassVar[BackendStatus]
    BACKEND_STATUS_UNAVAILABLE: _ClassVar[BackendStatus]

class BackendHosting(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BACKEND_HOSTING_UNSPECIFIED: _ClassVar[BackendHosting]
    BACKEND_HOSTING_REMOTE: _ClassVar[BackendHosting]
    BACKEND_HOSTING_NODE_LOCAL: _ClassVar[BackendHosting]
BACKEND_STATUS_UNSPECIFIED: BackendStatus
BACKEND_STATUS_AVAILABLE: BackendStatus
BACKEND_STATUS_UNAVAILABLE: BackendStatus
BACKEND_HOSTING_UNSPECIFIED: BackendHosting
BACKEND_HOSTING_REMOTE: BackendHosting
BACKEND_HOSTING_NODE_LOCAL: BackendHosting

class BackendInfo(_message.Message):
    __slots__ = ("name", "kind", "operations", "features", "transports", "weight", "priority", "base_url", "status", "status_reason", "provider", "model", "hosting")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_REASON_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    HOSTING_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    operations: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedScalarFieldContainer[str]
    transports: _containers.RepeatedScalarFieldContainer[str]
    weight: int
    priority: int
    base_url: str
    status: BackendStatus
    status_reason: str
    provider: str
    model: str
    hosting: BackendHosting
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., operations: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[str]] = ..., transports: _Optional[_Iterable[str]] = ..., weight: _Optional[int] = ..., priority: _Optional[int] = ..., base_url: _Optional[str] = ..., status: _Optional[_Union[BackendStatus, str]] = ..., status_reason: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., hosting: _Optional[_Union[BackendHosting, str]] = ...) -> None: ...

class NodeBackendSnapshot(_message.Message):
    __slots__ = ("node_uuid", "revision", "reported_at_ms", "backends")
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    node_uuid: str
    revision: int
    reported_at_ms: int
    backends: _containers.RepeatedCompositeFieldContainer[BackendInfo]
    def __init__(self, node_uuid: _Optional[str] = ..., revision: _Optional[int] = ..., reported_at_ms: _Optional[int] = ..., backends: _Optional[_Iterable[_Union[BackendInfo, _Mapping]]] = ...) -> None: ...

class ReportNodeBackendsRequest(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: NodeBackendSnapshot
    def __init__(self, snapshot: _Optional[_Union[NodeBackendSnapshot, _Mapping]] = ...) -> None: ...

class ReportNodeBackendsResponse(_message.Message):
    __slots__ = ("success", "message", "accepted_revision")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    accepted_revision: int
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., accepted_revision: _Optional[int] = ...) -> None: ...

class GetNodeBackendsRequest(_message.Message):
    __slots__ = ("node_uuid",)
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    node_uuid: str
    def __init__(self, node_uuid: _Optional[str] = ...) -> None: ...

class GetNodeBackendsResponse(_message.Message):
    __slots__ = ("found", "snapshot")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    found: bool
    snapshot: NodeBackendSnapshot
    def __init__(self, found: _Optional[bool] = ..., snapshot: _Optional[_Union[NodeBackendSnapshot, _Mapping]] = ...) -> None: ...

class ListNodeBackendSnapshotsRequest(_message.Message):
    __slots__ = ("limit", "offset")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    limit: int
    offset: int
    def __init__(self, limit: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ListNodeBackendSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots", "total_count")
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[NodeBackendSnapshot]
    total_count: int
    def __init__(self, snapshots: _Optional[_Iterable[_Union[NodeBackendSnapshot, _Mapping]]] = ..., total_count: _Optional[int] = ...) -> None: ...

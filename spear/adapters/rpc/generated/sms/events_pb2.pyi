from google.protobuf import any_pb2 as _any_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventOp(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_OP_UNKNOWN: _ClassVar[EventOp]
    EVENT_OP_CREATE: _ClassVar[EventOp]
    EVENT_OP_UPDATE: _ClassVar[EventOp]
    EVENT_OP_DELETE: _ClassVar[EventOp]
    EVENT_OP_UPSERT: _ClassVar[EventOp]
    EVENT_OP_CANCEL: _ClassVar[EventOp]

class ResourceType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOURCE_TYPE_UNKNOWN: _ClassVar[ResourceType]
    RESOURCE_TYPE_TASK: _ClassVar[ResourceType]
    RESOURCE_TYPE_NODE: _ClassVar[ResourceType]
    RESOURCE_TYPE_ARTIFACT: _ClassVar[ResourceType]
    RESOURCE_TYPE_INSTANCE: _ClassVar[ResourceType]
    RESOURCE_TYPE_EXECUTION: _ClassVar[ResourceType]
EVENT_OP_UNKNOWN: EventOp
EVENT_OP_CREATE: EventOp
EVENT_OP_UPDATE: EventOp
EVENT_OP_DELETE: EventOp
EVENT_OP_UPSERT: EventOp
EVENT_OP_CANCEL: EventOp
RESOURCE_TYPE_UNKNOWN: ResourceType
RESOURCE_TYPE_TASK: ResourceType
RESOURCE_TYPE_NODE: ResourceType
RESOURCE_TYPE_ARTIFACT: ResourceType
RESOURCE_TYPE_INSTANCE: ResourceType
RESOURCE_TYPE_EXECUTION: ResourceType

class EventEnvelope(_message.Message):
    __slots__ = ("event_id", "ts_ms", "stream", "seq", "resource_type", "resource_id", "op", "schema_version", "node_uuid", "correlation_id", "headers", "payload", "payload_bytes", "content_type")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    ts_ms: int
    stream: str
    seq: int
    resource_type: ResourceType
    resource_id: str
    op: EventOp
    schema_version: int
    node_uuid: str
    correlation_id: str
    headers: _containers.ScalarMap[str, str]
    payload: _any_pb2.Any
    payload_bytes: bytes
    content_type: str
    def __init__(self, event_id: _Optional[str] = ..., ts_ms: _Optional[int] = ..., stream: _Optional[str] = ..., seq: _Optional[int] = ..., resource_type: _Optional[_Union[ResourceType, str]] = ..., resource_id: _Optional[str] = ..., op: _Optional[_Union[EventOp, str]] = ..., schema_version: _Optional[int] = ..., node_uuid: _Optional[str] = ..., correlation_id: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., payload: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., payload_bytes: _Optional[bytes] = ..., content_type: _Optional[str] = ...) -> None: ...

class AllEventsSelector(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubscribeEventsSelector(_message.Message):
    __slots__ = ("stream", "node_uuid", "resource_type", "all")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    stream: str
    node_uuid: str
    resource_type: ResourceType
    all: AllEventsSelector
    def __init__(self, stream: _Optional[str] = ..., node_uuid: _Optional[str] = ..., resource_type: _Optional[_Union[ResourceType, str]] = ..., all: _Optional[_Union[AllEventsSelector, _Mapping]] = ...) -> None: ...

class SubscribeEventsRequest(_message.Message):
    __slots__ = ("selector", "after_seq", "replay_limit")
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    REPLAY_LIMIT_FIELD_NUMBER: _ClassVar[int]
    selector: SubscribeEventsSelector
    after_seq: int
    replay_limit: int
    def __init__(self, selector: _Optional[_Union[SubscribeEventsSelector, _Mapping]] = ..., after_seq: _Optional[int] = ..., replay_limit: _Optional[int] = ...) -> None: ...

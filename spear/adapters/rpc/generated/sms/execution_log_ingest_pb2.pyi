from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionLogLine(_message.Message):
    __slots__ = ("ts_ms", "seq", "stream", "level", "message")
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ts_ms: int
    seq: int
    stream: str
    level: str
    message: str
    def __init__(self, ts_ms: _Optional[int] = ..., seq: _Optional[int] = ..., stream: _Optional[str] = ..., level: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class AppendExecutionLogsRequest(_message.Message):
    __slots__ = ("execution_id", "lines")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    lines: _containers.RepeatedCompositeFieldContainer[ExecutionLogLine]
    def __init__(self, execution_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ExecutionLogLine, _Mapping]]] = ...) -> None: ...

class AppendExecutionLogsResponse(_message.Message):
    __slots__ = ("execution_id", "acked_seq", "truncated", "next_seq", "accepted")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    acked_seq: int
    truncated: bool
    next_seq: int
    accepted: int
    def __init__(self, execution_id: _Optional[str] = ..., acked_seq: _Optional[int] = ..., truncated: _Optional[bool] = ..., next_seq: _Optional[int] = ..., accepted: _Optional[int] = ...) -> None: ...

class FinalizeExecutionLogsRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class FinalizeExecutionLogsResponse(_message.Message):
    __slots__ = ("execution_id", "truncated", "completed", "next_seq", "updated_at_ms")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    truncated: bool
    completed: bool
    next_seq: int
    updated_at_ms: int
    def __init__(self, execution_id: _Optional[str] = ..., truncated: _Optional[bool] = ..., completed: _Optional[bool] = ..., next_seq: _Optional[int] = ..., updated_at_ms: _Optional[int] = ...) -> None: ...

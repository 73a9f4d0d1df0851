from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InstanceStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTANCE_STATUS_UNKNOWN: _ClassVar[InstanceStatus]
    INSTANCE_STATUS_RUNNING: _ClassVar[InstanceStatus]
    INSTANCE_STATUS_IDLE: _ClassVar[InstanceStatus]
    INSTANCE_STATUS_TERMINATING: _ClassVar[InstanceStatus]
    INSTANCE_STATUS_TERMINATED: _ClassVar[InstanceStatus]

class ExecutionStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_STATUS_UNKNOWN: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_PENDING: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_RUNNING: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_COMPLETED: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_FAILED: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_CANCELLED: _ClassVar[ExecutionStatus]
    EXECUTION_STATUS_TIMEOUT: _ClassVar[ExecutionStatus]
INSTANCE_STATUS_UNKNOWN: InstanceStatus
INSTANCE_STATUS_RUNNING: InstanceStatus
INSTANCE_STATUS_IDLE: InstanceStatus
INSTANCE_STATUS_TERMINATING: InstanceStatus
INSTANCE_STATUS_TERMINATED: InstanceStatus
EXECUTION_STATUS_UNKNOWN: ExecutionStatus
EXECUTION_STATUS_PENDING: ExecutionStatus
EXECUTION_STATUS_RUNNING: ExecutionStatus
EXECUTION_STATUS_COMPLETED: ExecutionStatus
EXECUTION_STATUS_FAILED: ExecutionStatus
EXECUTION_STATUS_CANCELLED: ExecutionStatus
EXECUTION_STATUS_TIMEOUT: ExecutionStatus

class LogRef(_message.Message):
    __slots__ = ("backend", "uri_prefix", "content_type", "compression")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    URI_PREFIX_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    backend: str
    uri_prefix: str
    content_type: str
    compression: str
    def __init__(self, backend: _Optional[str] = ..., uri_prefix: _Optional[str] = ..., content_type: _Optional[str] = ..., compression: _Optional[str] = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("instance_id", "task_id", "node_uuid", "status", "created_at_ms", "updated_at_ms", "last_seen_ms", "current_execution_id", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    task_id: str
    node_uuid: str
    status: InstanceStatus
    created_at_ms: int
    updated_at_ms: int
    last_seen_ms: int
    current_execution_id: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, instance_id: _Optional[str] = ..., task_id: _Optional[str] = ..., node_uuid: _Optional[str] = ..., status: _Optional[_Union[InstanceStatus, str]] = ..., created_at_ms: _Optional[int] = ..., updated_at_ms: _Optional[int] = ..., last_seen_ms: _Optional[int] = ..., current_execution_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("execution_id", "invocation_id", "task_id", "function_name", "node_uuid", "instance_id", "status", "started_at_ms", "completed_at_ms", "log_ref", "metadata", "updated_at_ms")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    INVOCATION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LOG_REF_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    invocation_id: str
    task_id: str
    function_name: str
    node_uuid: str
    instance_id: str
    status: ExecutionStatus
    started_at_ms: int
    completed_at_ms: int
    log_ref: LogRef
    metadata: _containers.ScalarMap[str, str]
    updated_at_ms: int
    def __init__(self, execution_id: _Optional[str] = ..., invocation_id: _Optional[str] = ..., task_id: _Optional[str] = ..., function_name: _Optional[str] = ..., node_uuid: _Optional[str] = ..., instance_id: _Optional[str] = ..., status: _Optional[_Union[ExecutionStatus, str]] = ..., started_at_ms: _Optional[int] = ..., completed_at_ms: _Optional[int] = ..., log_ref: _Optional[_Union[LogRef, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., updated_at_ms: _Optional[int] = ...) -> None: ...

class InstanceSummary(_message.Message):
    __slots__ = ("instance_id", "node_uuid", "status", "last_seen_ms", "current_execution_id")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    node_uuid: str
    status: InstanceStatus
    last_seen_ms: int
    current_execution_id: str
    def __init__(self, instance_id: _Optional[str] = ..., node_uuid: _Optional[str] = ..., status: _Optional[_Union[InstanceStatus, str]] = ..., last_seen_ms: _Optional[int] = ..., current_execution_id: _Optional[str] = ...) -> None: ...

class ExecutionSummary(_message.Message):
    __slots__ = ("execution_id", "task_id", "status", "started_at_ms", "completed_at_ms", "function_name")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_NAME_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    task_id: str
    status: ExecutionStatus
    started_at_ms: int
    completed_at_ms: int
    function_name: str
    def __init__(self, execution_id: _Optional[str] = ..., task_id: _Optional[str] = ..., status: _Optional[_Union[ExecutionStatus, str]] = ..., started_at_ms: _Optional[int] = ..., completed_at_ms: _Optional[int] = ..., function_name: _Optional[str] = ...) -> None: ...

class ReportInstanceResponse(_message.Message):
    __slots__ = ("accepted", "stored_updated_at_ms")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    STORED_UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    stored_updated_at_ms: int
    def __init__(self, accepted: _Optional[bool] = ..., stored_updated_at_ms: _Optional[int] = ...) -> None: ...

class ReportExecutionResponse(_message.Message):
    __slots__ = ("accepted", "stored_updated_at_ms", "result_known")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    STORED_UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    RESULT_KNOWN_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    stored_updated_at_ms: int
    result_known: bool
    def __init__(self, accepted: _Optional[bool] = ..., stored_updated_at_ms: _Optional[int] = ..., result_known: _Optional[bool] = ...) -> None: ...

class ListTaskInstancesRequest(_message.Message):
    __slots__ = ("task_id", "limit", "page_token")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    limit: int
    page_token: str
    def __init__(self, task_id: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTaskInstancesResponse(_message.Message):
    __slots__ = ("instances", "next_page_token")
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[InstanceSummary]
    next_page_token: str
    def __init__(self, instances: _Optional[_Iterable[_Union[InstanceSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListInstanceExecutionsRequest(_message.Message):
    __slots__ = ("instance_id", "limit", "page_token")
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    instance_id: str
    limit: int
    page_token: str
    def __init__(self, instance_id: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInstanceExecutionsResponse(_message.Message):
    __slots__ = ("executions", "next_page_token")
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[ExecutionSummary]
    next_page_token: str
    def __init__(self, executions: _Optional[_Iterable[_Union[ExecutionSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetExecutionRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class GetExecutionResponse(_message.Message):
    __slots__ = ("found", "execution")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    found: bool
    execution: Execution
    def __init__(self, found: _Optional[bool] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

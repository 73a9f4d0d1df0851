from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelDeploymentPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_DEPLOYMENT_PHASE_UNSPECIFIED: _ClassVar[ModelDeploymentPhase]
    MODEL_DEPLOYMENT_PHASE_PENDING: _ClassVar[ModelDeploymentPhase]
    MODEL_DEPLOYMENT_PHASE_PULLING: _ClassVar[ModelDeploymentPhase]
    MODEL_DEPLOYMENT_PHASE_STARTING: _ClassVar[ModelDeploymentPhase]
    MODEL_DEPLOYMENT_PHASE_READY: _ClassVar[ModelDeploymentPhase]
    MODEL_DEPLOYMENT_PHASE_FAILED: _ClassVar[ModelDeploymentPhase]
    MODEL_DEPLOYMENT_PHASE_DELETING: _ClassVar[ModelDeploymentPhase]
MODEL_DEPLOYMENT_PHASE_UNSPECIFIED: ModelDeploymentPhase
MODEL_DEPLOYMENT_PHASE_PENDING: ModelDeploymentPhase
MODEL_DEPLOYMENT_PHASE_PULLING: ModelDeploymentPhase
MODEL_DEPLOYMENT_PHASE_STARTING: ModelDeploymentPhase
MODEL_DEPLOYMENT_PHASE_READY: ModelDeploymentPhase
MODEL_DEPLOYMENT_PHASE_FAILED: ModelDeploymentPhase
MODEL_DEPLOYMENT_PHASE_DELETING: ModelDeploymentPhase

class ModelDeploymentSpec(_message.Message):
    __slots__ = ("target_node_uuid", "provider", "model", "params")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TARGET_NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    target_node_uuid: str
    provider: str
    model: str
    params: _containers.ScalarMap[str, str]
    def __init__(self, target_node_uuid: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., params: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ModelDeploymentStatus(_message.Message):
    __slots__ = ("phase", "message", "updated_at_ms")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    phase: ModelDeploymentPhase
    message: str
    updated_at_ms: int
    def __init__(self, phase: _Optional[_Union[ModelDeploymentPhase, str]] = ..., message: _Optional[str] = ..., updated_at_ms: _Optional[int] = ...) -> None: ...

class ModelDeploymentRecord(_message.Message):
    __slots__ = ("deployment_id", "revision", "created_at_ms", "updated_at_ms", "spec", "status")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    revision: int
    created_at_ms: int
    updated_at_ms: int
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus
    def __init__(self, deployment_id: _Optional[str] = ..., revision: _Optional[int] = ..., created_at_ms: _Optional[int] = ..., updated_at_ms: _Optional[int] = ..., spec: _Optional[_Union[ModelDeploymentSpec, _Mapping]] = ..., status: _Optional[_Union[ModelDeploymentStatus, _Mapping]] = ...) -> None: ...

class ListModelDeploymentsRequest(_message.Message):
    __slots__ = ("limit", "offset", "target_node_uuid", "provider")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TARGET_NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    limit: int
    offset: int
    target_node_uuid: str
    provider: str
    def __init__(self, limit: _Optional[int] = ..., offset: _Optional[int] = ..., target_node_uuid: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class ListModelDeploymentsResponse(_message.Message):
    __slots__ = ("revision", "records", "total_count")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    revision: int
    records: _containers.RepeatedCompositeFieldContainer[ModelDeploymentRecord]
    total_count: int
    def __init__(self, revision: _Optional[int] = ..., records: _Optional[_Iterable[_Union[ModelDeploymentRecord, _Mapping]]] = ..., total_count: _Optional[int] = ...) -> None: ...

class WatchModelDeploymentsRequest(_message.Message):
    __slots__ = ("since_revision", "target_node_uuid")
    SINCE_REVISION_FIELD_NUMBER: _ClassVar[int]
    TARGET_NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    since_revision: int
    target_node_uuid: str
    def __init__(self, since_revision: _Optional[int] = ..., target_node_uuid: _Optional[str] = ...) -> None: ...

class ModelDeploymentEvent(_message.Message):
    __slots__ = ("revision", "upserts", "deletes")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UPSERTS_FIELD_NUMBER: _ClassVar[int]
    DELETES_FIELD_NUMBER: _ClassVar[int]
    revision: int
    upserts: _containers.RepeatedScalarFieldContainer[str]
    deletes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, revision: _Optional[int] = ..., upserts: _Optional[_Iterable[str]] = ..., deletes: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchModelDeploymentsResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: ModelDeploymentEvent
    def __init__(self, event: _Optional[_Union[ModelDeploymentEvent, _Mapping]] = ...) -> None: ...

class UpsertModelDeploymentRequest(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: ModelDeploymentRecord
    def __init__(self, record: _Optional[_Union[ModelDeploymentRecord, _Mapping]] = ...) -> None: ...

class UpsertModelDeploymentResponse(_message.Message):
    __slots__ = ("revision", "deployment_id")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    revision: int
    deployment_id: str
    def __init__(self, revision: _Optional[int] = ..., deployment_id: _Optional[str] = ...) -> None: ...

class DeleteModelDeploymentRequest(_message.Message):
    __slots__ = ("deployment_id",)
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    def __init__(self, deployment_id: _Optional[str] = ...) -> None: ...

class DeleteModelDeploymentResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class ReportModelDeploymentStatusRequest(_message.Message):
    __slots__ = ("deployment_id", "node_uuid", "observed_revision", "status")
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_REVISION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    deployment_id: str
    node_uuid: str
    observed_revision: int
    status: ModelDeploymentStatus
    def __init__(self, deployment_id: _Optional[str] = ..., node_uuid: _Optional[str] = ..., observed_revision: _Optional[int] = ..., status: _Optional[_Union[ModelDeploymentStatus, _Mapping]] = ...) -> None: ...

class ReportModelDeploymentStatusResponse(_message.Message):
    __slots__ = ("success",)
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    def __init__(self, success: _Optional[bool] = ...) -> None: ...

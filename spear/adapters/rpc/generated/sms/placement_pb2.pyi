from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InvocationOutcomeClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INVOCATION_OUTCOME_CLASS_UNKNOWN: _ClassVar[InvocationOutcomeClass]
    INVOCATION_OUTCOME_CLASS_SUCCESS: _ClassVar[InvocationOutcomeClass]
    INVOCATION_OUTCOME_CLASS_OVERLOADED: _ClassVar[InvocationOutcomeClass]
    INVOCATION_OUTCOME_CLASS_UNAVAILABLE: _ClassVar[InvocationOutcomeClass]
    INVOCATION_OUTCOME_CLASS_TIMEOUT: _ClassVar[InvocationOutcomeClass]
    INVOCATION_OUTCOME_CLASS_REJECTED: _ClassVar[InvocationOutcomeClass]
    INVOCATION_OUTCOME_CLASS_BAD_REQUEST: _ClassVar[InvocationOutcomeClass]
    INVOCATION_OUTCOME_CLASS_INTERNAL: _ClassVar[InvocationOutcomeClass]
INVOCATION_OUTCOME_CLASS_UNKNOWN: InvocationOutcomeClass
INVOCATION_OUTCOME_CLASS_SUCCESS: InvocationOutcomeClass
INVOCATION_OUTCOME_CLASS_OVERLOADED: InvocationOutcomeClass
INVOCATION_OUTCOME_CLASS_UNAVAILABLE: InvocationOutcomeClass
INVOCATION_OUTCOME_CLASS_TIMEOUT: InvocationOutcomeClass
INVOCATION_OUTCOME_CLASS_REJECTED: InvocationOutcomeClass
INVOCATION_OUTCOME_CLASS_BAD_REQUEST: InvocationOutcomeClass
INVOCATION_OUTCOME_CLASS_INTERNAL: InvocationOutcomeClass

class PlaceInvocationRequest(_message.Message):
    __slots__ = ("request_id", "task_id", "max_candidates", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    task_id: str
    max_candidates: int
    labels: _containers.ScalarMap[str, str]
    def __init__(self, request_id: _Optional[str] = ..., task_id: _Optional[str] = ..., max_candidates: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class NodeCandidate(_message.Message):
    __slots__ = ("node_uuid", "ip_address", "port", "score", "token")
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    node_uuid: str
    ip_address: str
    port: int
    score: float
    token: str
    def __init__(self, node_uuid: _Optional[str] = ..., ip_address: _Optional[str] = ..., port: _Optional[int] = ..., score: _Optional[float] = ..., token: _Optional[str] = ...) -> None: ...

class PlaceInvocationResponse(_message.Message):
    __slots__ = ("decision_id", "candidates")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    candidates: _containers.RepeatedCompositeFieldContainer[NodeCandidate]
    def __init__(self, decision_id: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[NodeCandidate, _Mapping]]] = ...) -> None: ...

class ReportInvocationOutcomeRequest(_message.Message):
    __slots__ = ("decision_id", "request_id", "task_id", "node_uuid", "outcome_class", "error_message")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_CLASS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    request_id: str
    task_id: str
    node_uuid: str
    outcome_class: InvocationOutcomeClass
    error_message: str
    def __init__(self, decision_id: _Optional[str] = ..., request_id: _Optional[str] = ..., task_id: _Optional[str] = ..., node_uuid: _Optional[str] = ..., outcome_class: _Optional[_Union[InvocationOutcomeClass, str]] = ..., error_message: _Optional[str] = ...) -> None: ...

class ReportInvocationOutcomeResponse(_message.Message):
    __slots__ = ("accepted",)
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    def __init__(self, accepted: _Optional[bool] = ...) -> None: ...

from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Operation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_UNSPECIFIED: _ClassVar[Operation]
    OPERATION_CHAT_COMPLETIONS: _ClassVar[Operation]
    OPERATION_EMBEDDINGS: _ClassVar[Operation]
    OPERATION_IMAGE_GENERATION: _ClassVar[Operation]
    OPERATION_SPEECH_TO_TEXT: _ClassVar[Operation]
    OPERATION_TEXT_TO_SPEECH: _ClassVar[Operation]
    OPERATION_REALTIME_VOICE: _ClassVar[Operation]

class DecisionAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_ACTION_UNSPECIFIED: _ClassVar[DecisionAction]
    DECISION_ACTION_KEEP: _ClassVar[DecisionAction]
    DECISION_ACTION_DROP: _ClassVar[DecisionAction]
OPERATION_UNSPECIFIED: Operation
OPERATION_CHAT_COMPLETIONS: Operation
OPERATION_EMBEDDINGS: Operation
OPERATION_IMAGE_GENERATION: Operation
OPERATION_SPEECH_TO_TEXT: Operation
OPERATION_TEXT_TO_SPEECH: Operation
OPERATION_REALTIME_VOICE: Operation
DECISION_ACTION_UNSPECIFIED: DecisionAction
DECISION_ACTION_KEEP: DecisionAction
DECISION_ACTION_DROP: DecisionAction

class FilterRequest(_message.Message):
    __slots__ = ("correlation_id", "request_id", "operation", "decision_timeout_ms", "meta", "routing", "requirements", "signals", "candidates", "request_content_type", "request_payload")
    class MetaEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    DECISION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    request_id: str
    operation: Operation
    decision_timeout_ms: int
    meta: _containers.ScalarMap[str, str]
    routing: RoutingHints
    requirements: Requirements
    signals: RequestSignals
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    request_content_type: str
    request_payload: bytes
    def __init__(self, correlation_id: _Optional[str] = ..., request_id: _Optional[str] = ..., operation: _Optional[_Union[Operation, str]] = ..., decision_timeout_ms: _Optional[int] = ..., meta: _Optional[_Mapping[str, str]] = ..., routing: _Optional[_Union[RoutingHints, _Mapping]] = ..., requirements: _Optional[_Union[Requirements, _Mapping]] = ..., signals: _Optional[_Union[RequestSignals, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., request_content_type: _Optional[str] = ..., request_payload: _Optional[bytes] = ...) -> None: ...

class RoutingHints(_message.Message):
    __slots__ = ("backend", "allowlist", "denylist", "requested_model")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ALLOWLIST_FIELD_NUMBER: _ClassVar[int]
    DENYLIST_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_MODEL_FIELD_NUMBER: _ClassVar[int]
    backend: str
    allowlist: _containers.RepeatedScalarFieldContainer[str]
    denylist: _containers.RepeatedScalarFieldContainer[str]
    requested_model: str
    def __init__(self, backend: _Optional[str] = ..., allowlist: _Optional[_Iterable[str]] = ..., denylist: _Optional[_Iterable[str]] = ..., requested_model: _Optional[str] = ...) -> None: ...

class Requirements(_message.Message):
    __slots__ = ("required_features", "required_transports")
    REQUIRED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    required_features: _containers.RepeatedScalarFieldContainer[str]
    required_transports: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, required_features: _Optional[_Iterable[str]] = ..., required_transports: _Optional[_Iterable[str]] = ...) -> None: ...

class RequestSignals(_message.Message):
    __slots__ = ("model", "message_count", "approx_text_bytes", "uses_tools", "uses_json_schema", "audio_codec", "audio_sample_rate_hz", "audio_channels", "audio_duration_ms", "audio_language_hint")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    APPROX_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    USES_TOOLS_FIELD_NUMBER: _ClassVar[int]
    USES_JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    AUDIO_CODEC_FIELD_NUMBER: _ClassVar[int]
    AUDIO_SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    AUDIO_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_LANGUAGE_HINT_FIELD_NUMBER: _ClassVar[int]
    model: str
    message_count: int
    approx_text_bytes: int
    uses_tools: bool
    uses_json_schema: bool
    audio_codec: str
    audio_sample_rate_hz: int
    audio_channels: int
    audio_duration_ms: int
    audio_language_hint: str
    def __init__(self, model: _Optional[str] = ..., message_count: _Optional[int] = ..., approx_text_bytes: _Optional[int] = ..., uses_tools: _Optional[bool] = ..., uses_json_schema: _Optional[bool] = ..., audio_codec: _Optional[str] = ..., audio_sample_rate_hz: _Optional[int] = ..., audio_channels: _Optional[int] = ..., audio_duration_ms: _Optional[int] = ..., audio_language_hint: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("name", "kind", "base_url", "model", "weight", "priority", "ops", "features", "transports", "runtime", "is_local")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    IS_LOCAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    base_url: str
    model: str
    weight: int
    priority: int
    ops: _containers.RepeatedScalarFieldContainer[str]
    features: _containers.RepeatedScalarFieldContainer[str]
    transports: _containers.RepeatedScalarFieldContainer[str]
    runtime: CandidateRuntimeHints
    is_local: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., base_url: _Optional[str] = ..., model: _Optional[str] = ..., weight: _Optional[int] = ..., priority: _Optional[int] = ..., ops: _Optional[_Iterable[str]] = ..., features: _Optional[_Iterable[str]] = ..., transports: _Optional[_Iterable[str]] = ..., runtime: _Optional[_Union[CandidateRuntimeHints, _Mapping]] = ..., is_local: _Optional[bool] = ...) -> None: ...

class CandidateRuntimeHints(_message.Message):
    __slots__ = ("ewma_latency_ms", "recent_error_rate", "inflight", "healthy")
    EWMA_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    RECENT_ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    ewma_latency_ms: float
    recent_error_rate: float
    inflight: int
    healthy: bool
    def __init__(self, ewma_latency_ms: _Optional[float] = ..., recent_error_rate: _Optional[float] = ..., inflight: _Optional[int] = ..., healthy: _Optional[bool] = ...) -> None: ...

class FilterResponse(_message.Message):
    __slots__ = ("correlation_id", "decision_id", "decisions", "final_action", "debug")
    class DebugEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    FINAL_ACTION_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    correlation_id: str
    decision_id: str
    decisions: _containers.RepeatedCompositeFieldContainer[CandidateDecision]
    final_action: FinalAction
    debug: _containers.ScalarMap[str, str]
    def __init__(self, correlation_id: _Optional[str] = ..., decision_id: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[CandidateDecision, _Mapping]]] = ..., final_action: _Optional[_Union[FinalAction, _Mapping]] = ..., debug: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CandidateDecision(_message.Message):
    __slots__ = ("name", "action", "weight_override", "priority_override", "score", "reason_codes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REASON_CODES_FIELD_NUMBER: _ClassVar[int]
    name: str
    action: DecisionAction
    weight_override: int
    priority_override: int
    score: float
    reason_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., action: _Optional[_Union[DecisionAction, str]] = ..., weight_override: _Optional[int] = ..., priority_override: _Optional[int] = ..., score: _Optional[float] = ..., reason_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class FinalAction(_message.Message):
    __slots__ = ("reject_request", "reject_code", "reject_message", "force_backend")
    REJECT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REJECT_CODE_FIELD_NUMBER: _ClassVar[int]
    REJECT_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FORCE_BACKEND_FIELD_NUMBER: _ClassVar[int]
    reject_request: bool
    reject_code: str
    reject_message: str
    force_backend: str
    def __init__(self, reject_request: _Optional[bool] = ..., reject_code: _Optional[str] = ..., reject_message: _Optional[str] = ..., force_backend: _Optional[str] = ...) -> None: ...

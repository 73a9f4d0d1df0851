from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class McpTransport(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MCP_TRANSPORT_UNSPECIFIED: _ClassVar[McpTransport]
    MCP_TRANSPORT_STDIO: _ClassVar[McpTransport]
    MCP_TRANSPORT_STREAMABLE_HTTP: _ClassVar[McpTransport]
MCP_TRANSPORT_UNSPECIFIED: McpTransport
MCP_TRANSPORT_STDIO: McpTransport
MCP_TRANSPORT_STREAMABLE_HTTP: McpTransport

class McpStdioConfig(_message.Message):
    __slots__ = ("command", "args", "env", "cwd")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    command: str
    args: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.ScalarMap[str, str]
    cwd: str
    def __init__(self, command: _Optional[str] = ..., args: _Optional[_Iterable[str]] = ..., env: _Optional[_Mapping[str, str]] = ..., cwd: _Optional[str] = ...) -> None: ...

class McpHttpConfig(_message.Message):
    __slots__ = ("url", "headers", "auth_ref")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    AUTH_REF_FIELD_NUMBER: _ClassVar[int]
    url: str
    headers: _containers.ScalarMap[str, str]
    auth_ref: str
    def __init__(self, url: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., auth_ref: _Optional[str] = ...) -> None: ...

class McpBudgets(_message.Message):
    __slots__ = ("tool_timeout_ms", "max_concurrency", "max_tool_output_bytes")
    TOOL_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_TOOL_OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    tool_timeout_ms: int
    max_concurrency: int
    max_tool_output_bytes: int
    def __init__(self, tool_timeout_ms: _Optional[int] = ..., max_concurrency: _Optional[int] = ..., max_tool_output_bytes: _Optional[int] = ...) -> None: ...

class McpApprovalPolicy(_message.Message):
    __slots__ = ("default_policy", "per_tool")
    class PerToolEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DEFAULT_POLICY_FIELD_NUMBER: _ClassVar[int]
    PER_TOOL_FIELD_NUMBER: _ClassVar[int]
    default_policy: str
    per_tool: _containers.ScalarMap[str, str]
    def __init__(self, default_policy: _Optional[str] = ..., per_tool: _Optional[_Mapping[str, str]] = ...) -> None: ...

class McpServerRecord(_message.Message):
    __slots__ = ("server_id", "display_name", "transport", "stdio", "http", "tool_namespace", "allowed_tools", "approval_policy", "budgets", "updated_at_ms")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    STDIO_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_TOOLS_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_POLICY_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    display_name: str
    transport: McpTransport
    stdio: McpStdioConfig
    http: McpHttpConfig
    tool_namespace: str
    allowed_tools: _containers.RepeatedScalarFieldContainer[str]
    approval_policy: McpApprovalPolicy
    budgets: McpBudgets
    updated_at_ms: int
    def __init__(self, server_id: _Optional[str] = ..., display_name: _Optional[str] = ..., transport: _Optional[_Union[McpTransport, str]] = ..., stdio: _Optional[_Union[McpStdioConfig, _Mapping]] = ..., http: _Optional[_Union[McpHttpConfig, _Mapping]] = ..., tool_namespace: _Optional[str] = ..., allowed_tools: _Optional[_Iterable[str]] = ..., approval_policy: _Optional[_Union[McpApprovalPolicy, _Mapping]] = ..., budgets: _Optional[_Union[McpBudgets, _Mapping]] = ..., updated_at_ms: _Optional[int] = ...) -> None: ...

class ListMcpServersRequest(_message.Message):
    __slots__ = ("since_revision",)
    SINCE_REVISION_FIELD_NUMBER: _ClassVar[int]
    since_revision: int
    def __init__(self, since_revision: _Optional[int] = ...) -> None: ...

class ListMcpServersResponse(_message.Message):
    __slots__ = ("revision", "servers")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SERVERS_FIELD_NUMBER: _ClassVar[int]
    revision: int
    servers: _containers.RepeatedCompositeFieldContainer[McpServerRecord]
    def __init__(self, revision: _Optional[int] = ..., servers: _Optional[_Iterable[_Union[McpServerRecord, _Mapping]]] = ...) -> None: ...

class WatchMcpServersRequest(_message.Message):
    __slots__ = ("since_revision",)
    SINCE_REVISION_FIELD_NUMBER: _ClassVar[int]
    since_revision: int
    def __init__(self, since_revision: _Optional[int] = ...) -> None: ...

class McpRegistryEvent(_message.Message):
    __slots__ = ("revision", "upserts", "deletes")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UPSERTS_FIELD_NUMBER: _ClassVar[int]
    DELETES_FIELD_NUMBER: _ClassVar[int]
    revision: int
    upserts: _containers.RepeatedScalarFieldContainer[str]
    deletes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, revision: _Optional[int] = ..., upserts: _Optional[_Iterable[str]] = ..., deletes: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchMcpServersResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: McpRegistryEvent
    def __init__(self, event: _Optional[_Union[McpRegistryEvent, _Mapping]] = ...) -> None: ...

class UpsertMcpServerRequest(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: McpServerRecord
    def __init__(self, record: _Optional[_Union[McpServerRecord, _Mapping]] = ...) -> None: ...

class UpsertMcpServerResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class DeleteMcpServerRequest(_message.Message):
    __slots__ = ("server_id",)
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    def __init__(self, server_id: _Optional[str] = ...) -> None: ...

class DeleteMcpServerResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Node(_message.Message):
    __slots__ = ("uuid", "ip_address", "port", "status", "last_heartbeat", "registered_at", "metadata", "http_port")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    UUID_FIELD_NUMBER: _ClassVar[int]
    IP_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    HTTP_PORT_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    ip_address: str
    port: int
    status: str
    last_heartbeat: int
    registered_at: int
    metadata: _containers.ScalarMap[str, str]
    http_port: int
    def __init__(self, uuid: _Optional[str] = ..., ip_address: _Optional[str] = ..., port: _Optional[int] = ..., status: _Optional[str] = ..., last_heartbeat: _Optional[int] = ..., registered_at: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., http_port: _Optional[int] = ...) -> None: ...

class NodeResource(_message.Message):
    __slots__ = ("node_uuid", "cpu_usage_percent", "memory_usage_percent", "total_memory_bytes", "used_memory_bytes", "available_memory_bytes", "disk_usage_percent", "total_disk_bytes", "used_disk_bytes", "network_rx_bytes_per_sec", "network_tx_bytes_per_sec", "load_average_1m", "load_average_5m", "load_average_15m", "updated_at", "resource_metadata")
    class ResourceMetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    CPU_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    NETWORK_RX_BYTES_PER_SEC_FIELD_NUMBER: _ClassVar[int]
    NETWORK_TX_BYTES_PER_SEC_FIELD_NUMBER: _ClassVar[int]
    LOAD_AVERAGE_1M_FIELD_NUMBER: _ClassVar[int]
    LOAD_AVERAGE_5M_FIELD_NUMBER: _ClassVar[int]
    LOAD_AVERAGE_15M_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_METADATA_FIELD_NUMBER: _ClassVar[int]
    node_uuid: str
    cpu_usage_percent: float
    memory_usage_percent: float
    total_memory_bytes: int
    used_memory_bytes: int
    available_memory_bytes: int
    disk_usage_percent: float
    total_disk_bytes: int
    used_disk_bytes: int
    network_rx_bytes_per_sec: int
    network_tx_bytes_per_sec: int
    load_average_1m: float
    load_average_5m: float
    load_average_15m: float
    updated_at: int
    resource_metadata: _containers.ScalarMap[str, str]
    def __init__(self, node_uuid: _Optional[str] = ..., cpu_usage_percent: _Optional[float] = ..., memory_usage_percent: _Optional[float] = ..., total_memory_bytes: _Optional[int] = ..., used_memory_bytes: _Optional[int] = ..., available_memory_bytes: _Optional[int] = ..., disk_usage_percent: _Optional[float] = ..., total_disk_bytes: _Optional[int] = ..., used_disk_bytes: _Optional[int] = ..., network_rx_bytes_per_sec: _Optional[int] = ..., network_tx_bytes_per_sec: _Optional[int] = ..., load_average_1m: _Optional[float] = ..., load_average_5m: _Optional[float] = ..., load_average_15m: _Optional[float] = ..., updated_at: _Optional[int] = ..., resource_metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RegisterNodeRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: Node
    def __init__(self, node: _Optional[_Union[Node, _Mapping]] = ...) -> None: ...

class RegisterNodeResponse(_message.Message):
    __slots__ = ("success", "message", "node_uuid", "pass_key")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    PASS_KEY_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    node_uuid: str
    pass_key: bytes
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., node_uuid: _Optional[str] = ..., pass_key: _Optional[bytes] = ...) -> None: ...

class UpdateNodeRequest(_message.Message):
    __slots__ = ("uuid", "node")
    UUID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    node: Node
    def __init__(self, uuid: _Optional[str] = ..., node: _Optional[_Union[Node, _Mapping]] = ...) -> None: ...

class UpdateNodeResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class DeleteNodeRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class DeleteNodeResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("uuid", "timestamp", "health_info")
    class HealthInfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    UUID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    HEALTH_INFO_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    timestamp: int
    health_info: _containers.ScalarMap[str, str]
    def __init__(self, uuid: _Optional[str] = ..., timestamp: _Optional[int] = ..., health_info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("success", "message", "server_timestamp", "pass_key", "drained")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    PASS_KEY_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    server_timestamp: int
    pass_key: bytes
    drained: bool
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., server_timestamp: _Optional[int] = ..., pass_key: _Optional[bytes] = ..., drained: _Optional[bool] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("status_filter",)
    STATUS_FILTER_FIELD_NUMBER: _ClassVar[int]
    status_filter: str
    def __init__(self, status_filter: _Optional[str] = ...) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ...) -> None: ...

class GetNodeRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class GetNodeResponse(_message.Message):
    __slots__ = ("found", "node", "token")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    found: bool
    node: Node
    token: str
    def __init__(self, found: _Optional[bool] = ..., node: _Optional[_Union[Node, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class UpdateNodeResourceRequest(_message.Message):
    __slots__ = ("resource",)
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    resource: NodeResource
    def __init__(self, resource: _Optional[_Union[NodeResource, _Mapping]] = ...) -> None: ...

class UpdateNodeResourceResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class GetNodeResourceRequest(_message.Message):
    __slots__ = ("node_uuid",)
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    node_uuid: str
    def __init__(self, node_uuid: _Optional[str] = ...) -> None: ...

class GetNodeResourceResponse(_message.Message):
    __slots__ = ("found", "resource")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    found: bool
    resource: NodeResource
    def __init__(self, found: _Optional[bool] = ..., resource: _Optional[_Union[NodeResource, _Mapping]] = ...) -> None: ...

class ListNodeResourcesRequest(_message.Message):
    __slots__ = ("node_uuids",)
    NODE_UUIDS_FIELD_NUMBER: _ClassVar[int]
    node_uuids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, node_uuids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListNodeResourcesResponse(_message.Message):
    __slots__ = ("resources",)
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[NodeResource]
    def __init__(self, resources: _Optional[_Iterable[_Union[NodeResource, _Mapping]]] = ...) -> None: ...

class GetNodeWithResourceRequest(_message.Message):
    __slots__ = ("uuid",)
    UUID_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    def __init__(self, uuid: _Optional[str] = ...) -> None: ...

class GetNodeWithResourceResponse(_message.Message):
    __slots__ = ("found", "node", "resource")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    found: bool
    node: Node
    resource: NodeResource
    def __init__(self, found: _Optional[bool] = ..., node: _Optional[_Union[Node, _Mapping]] = ..., resource: _Optional[_Union[NodeResource, _Mapping]] = ...) -> None: ...

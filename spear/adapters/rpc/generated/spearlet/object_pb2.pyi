from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ObjectMeta(_message.Message):
    __slots__ = ("key", "size", "created_at", "updated_at", "ref_count", "pinned", "metadata", "version", "sha256")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    REF_COUNT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    created_at: int
    updated_at: int
    ref_count: int
    pinned: bool
    metadata: _containers.ScalarMap[str, str]
    version: int
    sha256: str
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., created_at: _Optional[int] = ..., updated_at: _Optional[int] = ..., ref_count: _Optional[int] = ..., pinned: _Optional[bool] = ..., metadata: _Optional[_Mapping[str, str]] = ..., version: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class Object(_message.Message):
    __slots__ = ("key", "value", "size", "created_at", "updated_at", "ref_count", "pinned", "metadata", "node_uuid", "version", "sha256")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    REF_COUNT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    NODE_UUID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    size: int
    created_at: int
    updated_at: int
    ref_count: int
    pinned: bool
    metadata: _containers.ScalarMap[str, str]
    node_uuid: str
    version: int
    sha256: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ..., size: _Optional[int] = ..., created_at: _Optional[int] = ..., updated_at: _Optional[int] = ..., ref_count: _Optional[int] = ..., pinned: _Optional[bool] = ..., metadata: _Optional[_Mapping[str, str]] = ..., node_uuid: _Optional[str] = ..., version: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class PutObjectRequest(_message.Message):
    __slots__ = ("key", "value", "metadata", "overwrite", "if_version", "if_sha256")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    IF_SHA256_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    metadata: _containers.ScalarMap[str, str]
    overwrite: bool
    if_version: int
    if_sha256: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ..., metadata: _Optional[_Mapping[str, str]] = ..., overwrite: _Optional[bool] = ..., if_version: _Optional[int] = ..., if_sha256: _Optional[str] = ...) -> None: ...

class PutObjectResponse(_message.Message):
    __slots__ = ("success", "message", "object_meta")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_META_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    object_meta: ObjectMeta
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., object_meta: _Optional[_Union[ObjectMeta, _Mapping]] = ...) -> None: ...

class GetObjectRequest(_message.Message):
    __slots__ = ("key", "include_value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    include_value: bool
    def __init__(self, key: _Optional[str] = ..., include_value: _Optional[bool] = ...) -> None: ...

class GetObjectResponse(_message.Message):
    __slots__ = ("found", "object", "message")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    found: bool
    object: Object
    message: str
    def __init__(self, found: _Optional[bool] = ..., object: _Optional[_Union[Object, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...

class ListObjectsRequest(_message.Message):
    __slots__ = ("prefix", "limit", "start_after", "include_values")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_AFTER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VALUES_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    limit: int
    start_after: str
    include_values: bool
    def __init__(self, prefix: _Optional[str] = ..., limit: _Optional[int] = ..., start_after: _Optional[str] = ..., include_values: _Optional[bool] = ...) -> None: ...

class ListObjectsResponse(_message.Message):
    __slots__ = ("objects", "has_more", "next_start_after")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    NEXT_START_AFTER_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[Object]
    has_more: bool
    next_start_after: str
    def __init__(self, objects: _Optional[_Iterable[_Union[Object, _Mapping]]] = ..., has_more: _Optional[bool] = ..., next_start_after: _Optional[str] = ...) -> None: ...

class AddObjectRefRequest(_message.Message):
    __slots__ = ("key", "count")
    KEY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    key: str
    count: int
    def __init__(self, key: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class AddObjectRefResponse(_message.Message):
    __slots__ = ("success", "message", "new_ref_count")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEW_REF_COUNT_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    new_ref_count: int
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., new_ref_count: _Optional[int] = ...) -> None: ...

class RemoveObjectRefRequest(_message.Message):
    __slots__ = ("key", "count")
    KEY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    key: str
    count: int
    def __init__(self, key: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class RemoveObjectRefResponse(_message.Message):
    __slots__ = ("success", "message", "new_ref_count", "deleted")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NEW_REF_COUNT_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    new_ref_count: int
    deleted: bool
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., new_ref_count: _Optional[int] = ..., deleted: _Optional[bool] = ...) -> None: ...

class PinObjectRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class PinObjectResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class UnpinObjectRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class UnpinObjectResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class DeleteObjectRequest(_message.Message):
    __slots__ = ("key", "force", "if_version", "if_sha256")
    KEY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    IF_SHA256_FIELD_NUMBER: _ClassVar[int]
    key: str
    force: bool
    if_version: int
    if_sha256: str
    def __init__(self, key: _Optional[str] = ..., force: _Optional[bool] = ..., if_version: _Optional[int] = ..., if_sha256: _Optional[str] = ...) -> None: ...

class DeleteObjectResponse(_message.Message):
    __slots__ = ("success", "message", "deleted")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    deleted: bool
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., deleted: _Optional[bool] = ...) -> None: ...

"""What a guest may set for a conversation: which keys mean something here, and which only to the backend."""

from typing import Annotated, Any

import msgspec
from msgspec import Raw

from spear.hostcalls.failures import Errno, Failed

_TEXT = Annotated[str, msgspec.Meta(max_length=256)]
_COUNT = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_KNOWN: dict[str, Any] = {
    "model": _TEXT,
    "backend": _TEXT,
    "timeout_ms": _COUNT,
    "response_format": dict[str, Raw],
    "max_iterations": _COUNT,
    "max_total_tool_calls": _COUNT,
    "max_tool_calls": _COUNT,
    "max_tool_output_bytes": _COUNT,
    "tool_arena_ptr": int,
    "tool_arena_len": int,
    "mcp.enabled": bool,
    "mcp.server_ids": list[Raw],
    "mcp.tool_allowlist": list[Raw],
    "mcp.tool_denylist": list[Raw],
}
_OURS = frozenset(_KNOWN) - {"response_format"} | {"messages", "tools", "stream", "stream_options"}
_NULL = b"null"
BESIDES = 64  # bytes that the host needs for each piece of text, about


class _Param(msgspec.Struct):
    key: Annotated[str, msgspec.Meta(min_length=1)]
    value: Raw = Raw(_NULL)


class Params:
    """The parameters of one conversation."""

    def __init__(self) -> None:
        self._values: dict[str, Raw] = {}
        self.size = 0  # in bytes, about

    def take(self, given: str) -> None:
        """Take `{"key": ..., "value": ...}`; raises `Failed`: EIO for what is not that, EINVAL for a value of the wrong type.

        EACCES for what the task may not do. A key of ours is unset by null.
        """
        try:
            param = msgspec.json.decode(given, type=_Param)
        except (msgspec.DecodeError, RecursionError):
            raise Failed(Errno.EIO) from None
        key, value = param.key, param.value.copy()
        if key.startswith("mcp.task_"):
            raise Failed(Errno.EACCES)
        _check(key, value)
        if (former := self._values.pop(key, None)) is not None:
            self.size -= _cost(key, former)
        if key not in _KNOWN or bytes(value) != _NULL:
            self._values[key] = value
            self.size += _cost(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key of ours."""
        return msgspec.json.decode(self._values[key], type=_KNOWN[key]) if key in self._values else default

    @property
    def timeout_s(self) -> float | None:
        """How long the answer may take, if that was said."""
        timeout_ms = self.get("timeout_ms")
        return None if timeout_ms is None else timeout_ms / 1000

    @property
    def most_rounds(self) -> int:
        """How often the model may be asked because it asked for tools."""
        return min(int(self.get("max_iterations", 8)), 128)

    @property
    def most_calls(self) -> int:
        """How many tools may be called for one answer."""
        usual = self.get("max_tool_calls", 32)
        return min(int(self.get("max_total_tool_calls", usual)), 10_000)

    @property
    def features(self) -> frozenset[str]:
        """What the backend must be able to do because of them."""
        kind = self.get("response_format", {}).get("type", Raw(_NULL))
        return frozenset({"supports_json_schema"} if bytes(kind).strip() == b'"json_schema"' else ())

    @property
    def forwarded(self) -> dict[str, Raw]:
        """What the backend is told as it was given."""
        return {key: value for key, value in self._values.items() if key not in _OURS and not key.startswith("mcp.")}


def _cost(key: str, value: Raw) -> int:
    return BESIDES + len(key) + len(bytes(value))


def _check(key: str, value: Raw) -> None:
    if key in _KNOWN and bytes(value) == _NULL:
        return
    try:
        known = msgspec.json.decode(value, type=_KNOWN.get(key, Raw))
    except (msgspec.DecodeError, RecursionError):
        raise Failed(Errno.EINVAL) from None
    if key in ("mcp.enabled", "mcp.server_ids") and known:  # no task may use tools of MCP servers here
        raise Failed(Errno.EACCES)

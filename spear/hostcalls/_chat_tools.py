"""Tools of a conversation: functions of the guest that a model asks for, called with their arguments in guest memory."""

import msgspec
from msgspec import Raw

from spear.hostcalls._chat_params import Params
from spear.hostcalls.context import Fault, HostContext
from spear.hostcalls.failures import Errno, Failed

_MOST_OUTPUT, _USUAL_OUTPUT = 1024 * 1024, 64 * 1024
_LENGTH = 4
_LENGTH_ROOM = 8
_NULL = Raw(b"null")


class Function(msgspec.Struct):
    """What a model wants called, with arguments that are JSON in a text."""

    name: str = ""
    arguments: str = ""


class Call(msgspec.Struct):
    """One call that a model asks for."""

    id: str = ""
    function: Function = msgspec.field(default_factory=Function)


class Message(msgspec.Struct):
    """What a model said."""

    content: Raw = _NULL
    tool_calls: Raw = _NULL

    @property
    def calls(self) -> list[Call]:
        """The calls that it asks for."""
        return msgspec.json.decode(self.tool_calls, type=list[Call] | None) or []

    @property
    def kept(self) -> Raw:
        """The message as the conversation goes on with it."""
        calls = {"tool_calls": self.tool_calls} if self.calls else {}
        return Raw(msgspec.json.encode({"role": "assistant", "content": self.content, **calls}))


class _Choice(msgspec.Struct):
    message: Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class _Named(msgspec.Struct):
    name: str = ""
    function: Function = msgspec.field(default_factory=Function)


def message_of(body: bytes) -> Message | None:
    """What the model said first, None when the answer has not that form."""
    try:
        choices = msgspec.json.decode(body, type=_Completion).choices
        _ = choices and choices[0].message.calls
    except (msgspec.DecodeError, RecursionError):
        return None
    return choices[0].message if choices else None


def functions_of(tools: list[tuple[int, Raw]]) -> dict[str, int]:
    """The guest's functions by name; the first of a name counts, and what has none does not."""
    found: dict[str, int] = {}
    for index, described in tools:
        try:
            named = msgspec.json.decode(described, type=_Named)
        except (msgspec.DecodeError, RecursionError):
            continue
        if name := named.function.name or named.name:
            found.setdefault(name, index)
    return found


def outcome_of(context: HostContext, call: Call, functions: dict[str, int], params: Params) -> Raw:
    """The message that tells the model what came of its call, also when that is that it failed."""
    name = call.function.name
    if name not in functions:
        content = _failure("unknown_tool", f"unknown tool: {name}")
    else:
        try:
            content = _Arena(context, params).run(functions[name], call.function.arguments.encode())
        except Failed as error:
            content = _failure("tool_exec_failed", f"tool rc: {-error.errno}")
        except Fault:
            content = _failure("tool_exec_failed", f"tool rc: {-Errno.EFAULT}")
        except _Refused as error:
            content = _failure("tool_exec_failed", f"tool rc: {error}")
    return Raw(msgspec.json.encode({"role": "tool", "tool_call_id": call.id, "content": content}))


def _failure(code: str, message: str) -> str:
    return msgspec.json.encode({"error": {"code": code, "message": message}}).decode()


class _Refused(Exception):
    """The function returned this number."""


class _Arena:
    """Where in its memory the guest wants arguments put, and its functions' output found."""

    def __init__(self, context: HostContext, params: Params) -> None:
        self._context = context
        self._base, self._length = params.get("tool_arena_ptr", 0), params.get("tool_arena_len", 0)
        self._most = min(params.get("max_tool_output_bytes", _USUAL_OUTPUT), _MOST_OUTPUT)

    def run(self, function: int, arguments: bytes) -> str:
        """What the function wrote; raises `Failed`, `_Refused`, and `Stopped` when the guest ended in it."""
        if self._base <= 0 or self._length <= 0 or function < 0:
            raise Failed(Errno.EFAULT)
        out = self._base + _aligned(len(arguments) + 1)
        space = (self._base + self._length - out - _LENGTH_ROOM) // 8 * 8
        room = min(space, self._most)
        code, told = self._call(function, arguments, out, room)
        if code == -Errno.ENOSPC and room < told <= min(space, _MOST_OUTPUT):
            room = told
            code, told = self._call(function, arguments, out, room)
        if code != 0:
            raise _Refused(code)
        return self._output(out, told, room)

    def _call(self, function: int, arguments: bytes, out: int, room: int) -> tuple[int, int]:
        if room <= 0:
            raise Failed(Errno.ENOSPC)
        length = out + _aligned(room)
        self._context.write(self._base, arguments + b"\0")
        self._context.write(length, room.to_bytes(_LENGTH, "little"))
        code = self._context.call(function, self._base, len(arguments), out, length)
        return code, int.from_bytes(self._context.read(length, _LENGTH), "little")

    def _output(self, out: int, length: int, room: int) -> str:
        if length > room:
            raise Failed(Errno.EIO)
        try:
            return self._context.read(out, length).decode()
        except UnicodeDecodeError:
            raise Failed(Errno.EIO) from None


def _aligned(size: int) -> int:
    return -(-size // 8) * 8

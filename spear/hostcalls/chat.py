"""Conversations with models: the guest writes messages, sends them, and reads the answer as JSON."""

from dataclasses import asdict, replace
from typing import Any

import msgspec
from msgspec import Raw

from spear.errors import SpearError
from spear.hostcalls._chat_params import BESIDES, Params
from spear.hostcalls._chat_tools import functions_of, message_of, outcome_of
from spear.hostcalls.buffers import give, room, text
from spear.hostcalls.context import HostContext
from spear.hostcalls.failures import Errno, Failed
from spear.hostcalls.fds import Descriptor, Ready
from spear.models import ChatAnswer, ChatRequest, Usage

SET_PARAM, GET_METRICS = 1, 2
WITH_METRICS, WITH_TOOLS = 1, 2
TOOL_CALL_LIMIT = "tool_call_limit"
MOST_BYTES = 16 * 1024 * 1024  # of all that the conversations of one run hold at once, answers included
LONGEST_ANSWER = 8 * 1024 * 1024
LONGEST_ARGUMENT = 256 * 1024


class Held(Descriptor):
    """Something that holds text for the guest."""

    @property
    def size(self) -> int:
        """How many bytes it holds, about."""
        return 0


class ChatSession(Held):
    """A conversation that the guest has written so far."""

    kind = "ChatSession"

    def __init__(self) -> None:
        self.messages: list[Raw] = []
        self.tools: list[tuple[int, Raw]] = []
        self.params = Params()
        self.said = 0
        self.sends = 0

    @property
    def size(self) -> int:
        """How many bytes it holds, about."""
        return self.said + self.params.size


class ChatResponse(Held):
    """What came of a conversation that was sent."""

    kind = "ChatResponse"

    def __init__(self) -> None:
        self.body = b""
        self.usage: Usage | None = None

    def fill(self, body: bytes, usage: Usage | None) -> None:
        """There is an answer."""
        self.body, self.usage = body, usage

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        return len(self.body)

    @property
    def ready(self) -> Ready:
        """It can be read once there is one."""
        return Ready.IN if self.body else Ready.NOTHING

    @property
    def metrics(self) -> dict[str, Any]:
        """The tokens, as the backend counted them; nothing when nobody wanted to know, or it did not."""
        return asdict(self.usage) if self.usage else {}


def cchat_create(context: HostContext) -> int:
    """A new conversation's descriptor; -ENOMEM when too many are open."""
    return context.descriptors.add(ChatSession())


def cchat_write_msg(context: HostContext, fd: int, role: int, role_length: int, content: int, length: int) -> int:
    """Append a message; broken UTF-8 is replaced. -ENOMEM when the run's conversations hold too much."""
    session = context.descriptors.get(fd, ChatSession)
    message = {"role": text(context, role, role_length), "content": text(context, content, length)}
    _say(context, session, Raw(msgspec.json.encode(message)))
    return 0


def cchat_write_fn(context: HostContext, fd: int, index: int, tool: int, length: int) -> int:
    """Append a tool: JSON, and where the guest's function table has what it calls. Neither is looked at here."""
    session = context.descriptors.get(fd, ChatSession)
    described = _argument(context, tool, length).encode()
    _take(context, session, len(described))
    session.tools.append((index, Raw(described)))
    return 0


def cchat_ctl(context: HostContext, fd: int, command: int, argument: int, length_pointer: int) -> int:
    """Set a parameter of a conversation (1), or tell the metrics of a response (2); -EINVAL for anything else."""
    opened = context.descriptors.get(fd, Held)
    if command == GET_METRICS:
        told = msgspec.json.encode(context.descriptors.get(fd, ChatResponse).metrics)
        return give(context, told, argument, length_pointer)
    if command != SET_PARAM:
        return -Errno.EINVAL
    given = _argument(context, argument, room(context, argument, length_pointer))
    if isinstance(opened, ChatSession):
        _check_room(context, len(given) + BESIDES)
        opened.params.take(given)
    return 0


def cchat_send(context: HostContext, fd: int, flags: int) -> int:
    """Have a model continue the conversation; a new descriptor of the answer, which may say what went wrong."""
    session = context.descriptors.get(fd, ChatSession)
    response = ChatResponse()
    number = context.descriptors.add(response)
    answer = _converse(context, session, fd) if flags & WITH_TOOLS else _ask(context, session, fd)
    response.fill(_body(answer), answer.usage if flags & WITH_METRICS else None)
    return number


def cchat_recv(context: HostContext, fd: int, out: int, out_length: int) -> int:
    """Give the response as JSON, as often as it is asked for."""
    return give(context, context.descriptors.get(fd, ChatResponse).body, out, out_length)


def cchat_close(context: HostContext, fd: int) -> int:
    """Close a conversation or a response; once more is harmless."""
    context.descriptors.close(fd, ChatSession, ChatResponse)
    return 0


def _held(context: HostContext) -> int:
    return sum(one.size for one in context.descriptors.every(Held))


def _check_room(context: HostContext, size: int) -> None:
    if _held(context) + size > MOST_BYTES:
        raise Failed(Errno.ENOMEM)


def _take(context: HostContext, session: ChatSession, size: int) -> None:
    _check_room(context, size + BESIDES)
    session.said += size + BESIDES


def _argument(context: HostContext, pointer: int, length: int) -> str:
    if length > LONGEST_ARGUMENT:
        raise Failed(Errno.ENOMEM)
    return text(context, pointer, length)


def _converse(context: HostContext, session: ChatSession, fd: int) -> ChatAnswer:
    try:
        return _rounds(context, session, fd)
    except Failed as error:
        if error.errno is not Errno.ENOMEM:
            raise
        return _limit(f"exceeded the {MOST_BYTES} bytes that conversations may hold")


def _rounds(context: HostContext, session: ChatSession, fd: int) -> ChatAnswer:
    """Ask, and call the guest's functions that the model asks for, until it asks for none."""
    functions, calls, usage = functions_of(session.tools), 0, Usage()
    for _ in range(session.params.most_rounds):
        answer = _ask(context, session, fd)
        message = None if answer.code else message_of(answer.body)
        if message is None:
            return answer
        usage += answer.usage or Usage()
        _say(context, session, message.kept)
        for call in message.calls:
            if (calls := calls + 1) > session.params.most_calls:
                return _limit("exceeded max_total_tool_calls")
            _say(context, session, outcome_of(context, call, functions, session.params))
        if not message.calls:
            return replace(answer, usage=usage)
    return _limit("exceeded max_iterations")


def _limit(message: str) -> ChatAnswer:
    return ChatAnswer(code=TOOL_CALL_LIMIT, message=message)


def _say(context: HostContext, session: ChatSession, message: Raw) -> None:
    _take(context, session, len(bytes(message)))
    session.messages.append(message)


def _request(context: HostContext, session: ChatSession, key: str) -> ChatRequest:
    tools = tuple(tool for _, tool in session.tools if _is_json(tool))
    params, features = session.params, frozenset({"supports_tools"} if tools else ())
    return ChatRequest(
        messages=tuple(session.messages),
        tools=tools,
        params=params.forwarded,
        model=params.get("model", ""),
        backend=params.get("backend", ""),
        features=features | params.features,
        timeout_s=params.timeout_s,
        key=key,
        most_bytes=max(0, min(LONGEST_ANSWER, MOST_BYTES - _held(context))),
    )


def _is_json(value: Raw) -> bool:
    try:
        msgspec.json.decode(value, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _ask(context: HostContext, session: ChatSession, fd: int) -> ChatAnswer:
    session.sends += 1
    request = _request(context, session, f"{fd}/{session.sends}")
    models, by = context.abilities.models, context.spec
    try:
        return context.ask(lambda: models.chat(by, request))
    except SpearError as error:
        return ChatAnswer(code=error.code.lower(), message=error.message)


def _body(answer: ChatAnswer) -> bytes:
    if answer.code:
        return msgspec.json.encode({"error": {"code": answer.code, "message": answer.message}})
    told = {"_spear": {"backend": answer.backend, "model": answer.model}}
    try:
        return msgspec.json.encode(msgspec.json.decode(answer.body, type=dict[str, Raw]) | told)
    except msgspec.ValidationError:
        return msgspec.json.encode({**told, "result": Raw(answer.body)})

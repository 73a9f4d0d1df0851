"""Conversations with models, called as plain functions: what the guest is told by number, and what goes to a backend."""

import json

import msgspec
import pytest

from spear.abilities import Abilities
from spear.errors import Unavailable
from spear.hostcalls import chat
from spear.hostcalls.context import Fault
from spear.hostcalls.failures import Errno, Failed
from spear.hostcalls.fds import FIRST, MOST_OPEN, Descriptors, Ready
from spear.models import ChatAnswer, Usage
from spear.ports import RunSpec
from tests.core.test_hostcalls import Memory

HI = {"role": "user", "content": "hi"}


class Parrot:
    """A model that says what it was told to say."""

    def __init__(self):
        self.answer = ChatAnswer(b'{"id":"1","n":1.50}', usage=Usage(1, 2, 3), backend="b", model="m")
        self.asked = []

    def chat(self, by, request):
        self.asked.append((by.execution_id, request))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Guest(Memory):
    """A guest that is nothing but memory, and can ask a parrot."""

    def __init__(self):
        super().__init__()
        self.parrot, self.descriptors, self.spec = Parrot(), Descriptors(), RunSpec("x")
        self.abilities = Abilities(objects=None, models=self.parrot, streams=None, recorded=lambda ident: None)

    def ask(self, work):
        return work()

    def put(self, at, text):
        data = text.encode() if isinstance(text, str) else text
        self.write(at, data)
        return at, len(data)

    def say(self, fd, content="hi", role="user"):
        return chat.cchat_write_msg(self, fd, *self.put(100, role), *self.put(200, content))

    def ctl(self, fd, text, command=1):
        at, length = self.put(1000, text)
        self.write(500, length.to_bytes(4, "little"))
        return chat.cchat_ctl(self, fd, command, at, 500)

    def set(self, fd, key, value):
        return self.ctl(fd, json.dumps({"key": key, "value": value}))

    def tool(self, fd, text, index=7):
        return chat.cchat_write_fn(self, fd, index, *self.put(2000, text))

    def told(self, call, *args, room=5000):
        """What a call gives, and its result."""
        self.write(500, room.to_bytes(4, "little"))
        result = call(self, *args, 3000, 500)
        size = int.from_bytes(self.read(500, 4), "little")
        return result, self.read(3000, size) if result >= 0 else size

    def heard(self, fd, flags=0):
        response = chat.cchat_send(self, fd, flags)
        return json.loads(self.told(chat.cchat_recv, response)[1])

    def sent(self):
        return self.parrot.asked[-1][1]


@pytest.fixture
def guest():
    return Guest()


@pytest.fixture
def fd(guest):
    return chat.cchat_create(guest)


def errno(call, *args):
    with pytest.raises(Failed) as caught:
        call(*args)
    return caught.value.errno


def test_a_conversation_is_sent_in_its_order_and_stays_as_it_was(guest, fd):
    assert (fd, guest.say(fd, "be short", "system"), guest.say(fd)) == (FIRST, 0, 0)
    guest.heard(fd), guest.heard(fd)
    messages = [msgspec.json.decode(message) for message in guest.sent().messages]
    assert messages == [{"role": "system", "content": "be short"}, HI]
    assert [(by, request.key) for by, request in guest.parrot.asked] == [("x", f"{fd}/1"), ("x", f"{fd}/2")]


def test_broken_utf8_in_a_message_is_replaced(guest, fd):
    guest.say(fd, b"a\xffb", b"\xfe")
    guest.heard(fd)
    assert msgspec.json.decode(guest.sent().messages[0]) == {"role": "\ufffd", "content": "a\ufffdb"}


def test_an_answer_is_told_byte_for_byte_with_who_gave_it(guest, fd):
    guest.say(fd)
    response = chat.cchat_send(guest, fd, 0)
    told = b'{"id":"1","n":1.50,"_spear":{"backend":"b","model":"m"}}'
    assert guest.told(chat.cchat_recv, response) == (len(told), told)
    assert guest.told(chat.cchat_recv, response, room=10) == (-28, len(told))
    assert guest.told(chat.cchat_recv, response) == (len(told), told)
    assert guest.descriptors.get(response, chat.ChatResponse).ready is Ready.IN


def test_what_a_backend_says_of_us_does_not_count(guest, fd):
    guest.parrot.answer = ChatAnswer(b'{"_spear":{"backend":"evil"}}', backend="b", model="m")
    assert guest.heard(fd) == {"_spear": {"backend": "b", "model": "m"}}


@pytest.mark.parametrize(
    "answer", [ChatAnswer(code="timeout", message="too late"), Unavailable("too late", code="TIMEOUT")]
)
def test_a_failure_is_a_response_too(guest, fd, answer):
    guest.parrot.answer = answer
    assert guest.heard(fd) == {"error": {"code": "timeout", "message": "too late"}}


def test_metrics_are_the_backends_and_only_when_wanted(guest, fd):
    counted, uncounted = chat.cchat_send(guest, fd, 1), chat.cchat_send(guest, fd, 0)
    told = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert json.loads(guest.told(chat.cchat_ctl, counted, 2)[1]) == told
    assert guest.told(chat.cchat_ctl, uncounted, 2) == (2, b"{}")
    assert errno(guest.told, chat.cchat_ctl, fd, 2) is Errno.EBADF


def test_parameters_that_mean_nothing_here_are_handed_on_as_they_came(guest, fd):
    assert guest.ctl(fd, '{"key": "temperature", "value": 0.10}') == 0
    assert guest.ctl(fd, '{"key": "seed"}') == 0
    for key in ("model", "backend"):
        guest.set(fd, key, key[0])
    for key in ("stream", "messages", "tools", "max_iterations", "tool_arena_ptr", "mcp.tool_denylist", "mcp.other"):
        guest.set(fd, key, [] if "mcp" in key else 1)
    guest.set(fd, "timeout_ms", 1500)
    guest.heard(fd)
    sent = guest.sent()
    assert {key: bytes(value) for key, value in sent.params.items()} == {"temperature": b"0.10", "seed": b"null"}
    assert (sent.model, sent.backend, sent.timeout_s, sent.features) == ("m", "b", 1.5, frozenset())


def test_null_unsets_what_is_known_here(guest, fd):
    guest.set(fd, "model", "m"), guest.set(fd, "model", None)
    guest.heard(fd)
    assert guest.sent().model == ""


def test_a_schema_and_tools_are_features_that_a_backend_must_have(guest, fd):
    guest.set(fd, "response_format", {"type": "json_schema", "json_schema": {}})
    guest.heard(fd)
    assert guest.sent().features == {"supports_json_schema"}
    assert guest.tool(fd, '{"type": "function"}') == guest.tool(fd, "no json") == 0
    guest.heard(fd)
    assert guest.sent().features == {"supports_json_schema", "supports_tools"}
    assert [bytes(tool) for tool in guest.sent().tools] == [b'{"type": "function"}']


@pytest.mark.parametrize("text", ["", "nope", "[]", "{}", '{"key": ""}', '{"key": 5}', '{"value": 5}', "[" * 5000])
def test_a_parameter_that_is_none_is_eio(guest, fd, text):
    assert errno(guest.ctl, fd, text) is Errno.EIO


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", 5),
        ("model", "x" * 257),
        ("backend", []),
        ("timeout_ms", -1),
        ("timeout_ms", "5"),
        ("response_format", "json"),
        ("max_iterations", True),
        ("mcp.enabled", 1),
        ("mcp.server_ids", "a"),
        ("mcp.tool_allowlist", {}),
    ],
)
def test_a_value_of_the_wrong_type_is_einval(guest, fd, key, value):
    assert errno(guest.set, fd, key, value) is Errno.EINVAL


def test_tools_of_servers_are_nothing_that_a_task_may_use(guest, fd):
    for key, value in {"mcp.enabled": True, "mcp.server_ids": ["a"], "mcp.task_allowed": 1}.items():
        assert errno(guest.set, fd, key, value) is Errno.EACCES
    assert guest.set(fd, "mcp.enabled", False) == guest.set(fd, "mcp.server_ids", []) == 0


def test_a_response_takes_no_parameters_and_no_messages(guest, fd):
    response = chat.cchat_send(guest, fd, 0)
    assert guest.set(response, "model", "m") == 0
    assert errno(guest.say, response) is errno(chat.cchat_send, guest, response, 0) is Errno.EBADF
    assert errno(guest.told, chat.cchat_recv, fd) is Errno.EBADF


def test_an_unknown_command_is_einval_and_an_unknown_descriptor_ebadf(guest, fd):
    assert guest.ctl(fd, "{}", command=3) == -22
    for call in (guest.say, guest.tool, guest.ctl):
        assert errno(call, 5, "{}") is Errno.EBADF
    assert errno(chat.cchat_close, guest, 5) is Errno.EBADF


def test_closing_twice_is_harmless_and_what_is_closed_is_gone(guest, fd):
    assert chat.cchat_close(guest, fd) == chat.cchat_close(guest, fd) == 0
    assert errno(guest.say, fd) is Errno.EBADF


def test_bytes_outside_the_memory_are_a_fault_and_change_nothing(guest, fd):
    for call in (
        lambda: chat.cchat_write_msg(guest, fd, 65530, 10, 0, 1),
        lambda: chat.cchat_write_msg(guest, fd, 0, 1, 0, -1),
        lambda: chat.cchat_write_fn(guest, fd, 1, 65530, 10),
        lambda: chat.cchat_ctl(guest, fd, 1, 0, 65534),
    ):
        with pytest.raises(Fault):
            call()
    session = guest.descriptors.get(fd, chat.ChatSession)
    assert (session.messages, session.tools, session.size) == ([], [], 0)


def test_what_a_run_says_and_hears_is_bounded_and_closing_makes_room(guest, fd, monkeypatch):
    monkeypatch.setattr(chat, "MOST_BYTES", 400)
    other = chat.cchat_create(guest)
    assert guest.say(other, "x" * 150) == 0
    assert errno(guest.say, fd, "x" * 150) is Errno.ENOMEM
    guest.heard(other)
    assert guest.sent().most_bytes == 400 - guest.descriptors.get(other, chat.ChatSession).size
    chat.cchat_close(guest, other), chat.cchat_close(guest, other + 1)
    assert guest.say(fd, "x" * 150) == 0


def test_a_parameter_that_is_set_again_takes_no_more_room(guest, fd, monkeypatch):
    monkeypatch.setattr(chat, "MOST_BYTES", 400)
    for _ in range(50):
        assert guest.set(fd, "temperature", "x" * 100) == 0
    assert errno(guest.set, fd, "top_p", "x" * 300) is Errno.ENOMEM
    guest.set(fd, "model", "m"), guest.set(fd, "model", None)
    assert guest.descriptors.get(fd, chat.ChatSession).size == 64 + len("temperature") + 102
    assert errno(lambda: [guest.set(fd, str(number), 1) for number in range(9)]) is Errno.ENOMEM


def test_one_argument_is_bounded(guest, fd, monkeypatch):
    monkeypatch.setattr(chat, "LONGEST_ARGUMENT", 50)
    assert errno(guest.tool, fd, " " * 51) is errno(guest.ctl, fd, " " * 51) is Errno.ENOMEM


def test_nobody_is_asked_when_there_is_no_number_left_for_the_answer(guest, fd):
    while len(guest.descriptors.every(chat.ChatSession)) < MOST_OPEN:
        chat.cchat_create(guest)
    assert errno(chat.cchat_create, guest) is errno(chat.cchat_send, guest, fd, 0) is Errno.ENOMEM
    assert guest.parrot.asked == []


def wants(*names, **more):
    calls = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in names]
    return json.dumps({"choices": [{"message": {"content": "c", "tool_calls": calls, "extra": 1} | more}]}).encode()


def test_with_tools_the_answer_becomes_part_of_the_conversation(guest, fd):
    guest.say(fd)
    guest.parrot.answer = ChatAnswer(wants())
    chat.cchat_send(guest, fd, 2), chat.cchat_send(guest, fd, 0)
    messages = [msgspec.json.decode(message) for message in guest.sent().messages]
    assert messages == [HI, {"role": "assistant", "content": "c"}]


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":5}]}', wants(tool_calls="x"), wants(tool_calls=None)],
)
def test_an_answer_of_another_form_asks_for_no_tools(guest, fd, body):
    guest.parrot.answer = ChatAnswer(body)
    assert "error" not in guest.heard(fd, flags=2) and len(guest.parrot.asked) == 1


def test_without_the_flag_calls_of_tools_are_the_guests_business(guest, fd):
    guest.parrot.answer = ChatAnswer(wants("t"))
    assert guest.heard(fd)["choices"][0]["message"]["tool_calls"][0]["id"] == "t"
    assert len(guest.parrot.asked) == 1


def test_a_model_that_asks_for_tools_without_end_is_left_and_every_round_counts(guest, fd):
    guest.parrot.answer = ChatAnswer(wants("t"), usage=Usage(1, 1, 2))
    assert guest.heard(fd, flags=2) == {"error": {"code": "tool_call_limit", "message": "exceeded max_iterations"}}
    assert len(guest.parrot.asked) == 8
    guest.set(fd, "max_iterations", 1000)
    guest.parrot.answer = ChatAnswer(wants(*"abcdefgh"))
    assert guest.heard(fd, flags=2)["error"]["message"] == "exceeded max_total_tool_calls"
    assert len(guest.parrot.asked) == 8 + 5
    assert len({request.key for _, request in guest.parrot.asked}) == 13


def test_tokens_of_all_rounds_are_added_up(guest, fd):
    answers = [ChatAnswer(wants("t"), usage=Usage(1, 2, 3)), ChatAnswer(wants(), usage=Usage(10, 20, 30))]
    guest.parrot.chat = lambda by, request: answers.pop(0)
    response = chat.cchat_send(guest, fd, 3)
    assert guest.descriptors.get(response, chat.ChatResponse).metrics["total_tokens"] == 33


def test_a_conversation_that_grows_too_large_meanwhile_is_an_answer(guest, fd, monkeypatch):
    monkeypatch.setattr(chat, "MOST_BYTES", 1000)
    guest.parrot.answer = ChatAnswer(wants("t"))
    error = guest.heard(fd, flags=2)["error"]
    assert error == {"code": "tool_call_limit", "message": "exceeded the 1000 bytes that conversations may hold"}

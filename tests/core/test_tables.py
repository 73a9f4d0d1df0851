"""Functions that a guest has the host call: on the guest's own thread, in its memory, and never past its end."""

import hashlib
import json

import gevent
import msgspec
import pytest
from wasmtime import wat2wasm

from spear.abilities import Abilities
from spear.adapters.hub import HubBell
from spear.adapters.runtimes.wasm import WasmRuntime
from spear.adapters.system import SystemClock
from spear.models import ChatAnswer
from spear.ports import Artifact, End, Level, Limits, RunSpec, Stream
from tests.lines import Lines

ARENA, LENGTH = 1024, 256
ECHO = "(memory.copy (local.get $out) (local.get $in) (local.get $n)) (i32.store (local.get $len) (local.get $n)) "
DONE = "(i32.const 0)"
TOOL, PARAM = '{"name":"t"}', '{"key":"%s","value":%d}'
PARAMS = [PARAM % pair for pair in (("tool_arena_ptr", ARENA), ("tool_arena_len", LENGTH))]


def data(at, text):
    return f'(data (i32.const {at}) "{text.replace(chr(34), chr(92) + chr(34))}")'


def module(tool, *, index=1, exported='(export "__indirect_function_table")', params=PARAMS):
    """A guest that sends `hi` with the tool `t`, whose function has this body."""
    set_param = "".join(
        f"(i32.store (i32.const 900) (i32.const {len(text)}))"
        f"(drop (call $ctl (global.get $fd) (i32.const 1) (i32.const {500 + at * 100}) (i32.const 900)))"
        for at, text in enumerate(params)
    )
    texts = "".join(data(500 + at * 100, text) for at, text in enumerate(params))
    return f"""(module
      (import "spear" "cchat_create" (func $create (result i32)))
      (import "spear" "cchat_write_msg" (func $say (param i32 i32 i32 i32 i32) (result i32)))
      (import "spear" "cchat_write_fn" (func $fn (param i32 i32 i32 i32) (result i32)))
      (import "spear" "cchat_ctl" (func $ctl (param i32 i32 i32 i32) (result i32)))
      (import "spear" "cchat_send" (func $send (param i32 i32) (result i32)))
      (import "spear" "log" (func $log (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 4)
      (global $fd (mut i32) (i32.const 0))
      (global $calls (mut i32) (i32.const 0))
      (table {exported} 8 funcref)
      (elem (i32.const 1) $tool $other)
      {data(0, "hi")} {data(100, TOOL)} {texts}
      (func $other (param i32) (result i32) {DONE})
      (func $tool (param $in i32) (param $n i32) (param $out i32) (param $len i32) (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        {tool})
      (func (export "_start")
        (global.set $fd (call $create))
        (drop (call $say (global.get $fd) (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 2)))
        (drop (call $fn (global.get $fd) (i32.const {index}) (i32.const 100) (i32.const {len(TOOL)})))
        {set_param}
        (if (i32.lt_s (call $send (global.get $fd) (i32.const 2)) (i32.const 1000)) (then unreachable))))"""


class Scripted:
    """A model that wants `t` called with each of these arguments in turn, and is content then."""

    def __init__(self, *wanted):
        self.left, self.asked = list(wanted), []

    def chat(self, by, request):
        self.asked.append([msgspec.json.decode(message) for message in request.messages])
        calls = []
        if self.left:
            calls = [{"id": "1", "function": {"name": "t", "arguments": self.left.pop(0)}}]
        body = {"choices": [{"message": {"content": None if calls else "done", "tool_calls": calls}}]}
        return ChatAnswer(json.dumps(body).encode(), backend="b", model="m")

    @property
    def told(self):
        """What it heard of the calls in the end."""
        return [message["content"] for message in self.asked[-1] if message["role"] == "tool"]


@pytest.fixture
def start(tmp_path):
    with HubBell() as bell:
        made = []

        def start(model, text, *, wall_ms=10_000, log=None):
            abilities = Abilities(None, model, None, recorded=lambda ident: None)
            runtime = WasmRuntime(
                tmp_path / "cache", clock=SystemClock(), bell=bell, max_threads=1, abilities=abilities
            )
            made.append(runtime)
            content = bytes(wat2wasm(text))
            instance = runtime.prepare(Artifact(lambda: (content, hashlib.sha256(content).hexdigest())))
            return instance.start(RunSpec("x", limits=Limits(wall_ms=wall_ms)), log or Lines())

        yield start
        for runtime in made:
            runtime.close()


def told(start, text, *wanted):
    """What the model heard of each call, from a guest that came to its end."""
    model = Scripted(*wanted)
    outcome = start(model, text).result()
    assert outcome.end is End.COMPLETED, outcome
    return model.told


def failed(code):
    return f'{{"error":{{"code":"tool_exec_failed","message":"tool rc: {code}"}}}}'


def test_a_function_gets_its_arguments_and_gives_its_output_call_after_call(start):
    assert told(start, module(ECHO + DONE), '{"a":1}', "", "é" * 20) == ['{"a":1}', "", "é" * 20]


def test_a_function_may_use_hostcalls_itself(start):
    lines = Lines()
    outcome = start(
        Scripted("x"), module("(drop (call $log (i32.const 2) (i32.const 0) (i32.const 2)))" + ECHO + DONE), log=lines
    )
    assert (outcome.result().end, lines.lines) == (End.COMPLETED, [(Stream.LOG, Level.INFO, "hi")])


@pytest.mark.parametrize("exported", ['(export "__indirect_function_table")', '(export "table")', '(export "any")'])
def test_the_table_may_be_exported_under_any_name(start, exported):
    assert told(start, module(ECHO + DONE, exported=exported), "x") == ["x"]


@pytest.mark.parametrize(
    ("why", "more"),
    [("no table", {"exported": ""}), ("another type", {"index": 2}), ("null", {"index": 0}), ("beyond", {"index": 8})],
)
def test_what_cannot_be_called_is_eio(start, why, more):
    assert told(start, module(DONE, **more), "x") == [failed(-5)]


@pytest.mark.parametrize(
    ("params", "index", "code"),
    [
        ([], 1, -14),
        ([PARAM % ("tool_arena_ptr", -8), PARAMS[1]], 1, -14),
        ([PARAM % ("tool_arena_ptr", 1 << 18), PARAMS[1]], 1, -14),
        (PARAMS, -1, -14),
        ([PARAMS[0], PARAM % ("tool_arena_len", 20)], 1, -28),
        ([*PARAMS, PARAM % ("max_tool_output_bytes", 0)], 1, -28),
    ],
)
def test_an_arena_that_is_none_or_too_small_is_said_so(start, params, index, code):
    assert told(start, module(DONE, params=params, index=index), "x") == [failed(code)]


def test_what_a_function_returns_is_told_when_it_failed(start):
    assert told(start, module("(i32.const -22)"), "x") == [failed(-22)]
    assert told(start, module("(i32.const 5)"), "x") == [failed(5)]


def test_output_that_is_no_text_or_longer_than_there_was_room_is_eio(start):
    broken = "(i32.store8 (local.get $out) (i32.const 255)) (i32.store (local.get $len) (i32.const 1))"
    assert told(start, module(broken + DONE), "x") == [failed(-5)]
    assert told(start, module("(i32.store (local.get $len) (i32.const 0x10101))" + DONE), "x") == [failed(-5)]


def test_a_function_that_needs_more_room_is_called_once_more(start):
    more = "(if (i32.lt_u (i32.load (local.get $len)) (i32.const 16)) (then (i32.store (local.get $len) (i32.const 16)) (return (i32.const -28))))"
    params = [*PARAMS, PARAM % ("max_tool_output_bytes", 8)]
    assert told(start, module(more + ECHO + DONE, params=params), "x") == ["x"]
    endless = "(i32.store (local.get $len) (i32.add (i32.load (local.get $len)) (i32.const 8))) (i32.const -28)"
    assert told(start, module(endless, params=params), "x") == [failed(-28)]
    again = "(if (i32.gt_u (global.get $calls) (i32.const 1)) (then (return (i32.const 0))))"
    beyond = again + "(i32.store (local.get $len) (i32.const 4096)) (i32.const -28)"
    assert told(start, module(beyond, params=params), "x") == [failed(-28)]


def test_a_function_writes_within_its_arena(start):
    bounds = (
        f"(if (i32.gt_u (i32.add (local.get $len) (i32.const 4)) (i32.const {ARENA + LENGTH - 3})) (then unreachable))"
    )
    params = [PARAMS[0], PARAM % ("tool_arena_len", LENGTH - 3)]
    assert told(start, module(bounds + ECHO + DONE, params=params), "x" * 10) == ["x" * 10]


def test_a_function_that_traps_ends_the_guest(start):
    model = Scripted("x")
    outcome = start(model, module("unreachable")).result()
    assert (outcome.end, outcome.reason) == (End.FAILED, "trap")
    assert outcome.error.startswith("trap: unreachable in a function that cchat_send called") and len(model.asked) == 1


def test_a_function_that_exits_ends_the_guest_with_its_code(start):
    outcome = start(Scripted("x"), module("(call $exit (i32.const 7)) (i32.const 0)")).result()
    assert (outcome.end, outcome.exit_code) == (End.FAILED, 7)


def test_a_function_that_never_returns_is_ended_by_the_deadline(start):
    outcome = start(Scripted("x"), module("(loop $l (br $l)) (i32.const 0)"), wall_ms=200).result()
    assert (outcome.end, outcome.reason) == (End.TIMEOUT, "wall_time")


def test_a_guest_can_be_terminated_in_a_function(start):
    lines = Lines()
    body = "(drop (call $log (i32.const 2) (i32.const 0) (i32.const 2))) (loop $l (br $l)) (i32.const 0)"
    run = start(Scripted("x"), module(body), log=lines)
    with gevent.Timeout(10):
        while not lines.lines:
            gevent.sleep(0.01)
    run.stop("enough")
    assert run.result().end is End.CANCELLED


def test_a_function_may_not_have_functions_called(start):
    nested = "(drop (call $send (global.get $fd) (i32.const 2))) (i32.store (local.get $len) (i32.const 0))"
    assert told(start, module(nested + DONE), "x", "y") == [failed(-5), ""]


def test_rounds_and_calls_are_limited(start):
    for limit, most_asked in (("max_iterations", 2), ("max_total_tool_calls", 3), ("max_tool_calls", 3)):
        model = Scripted(*"abcdefgh")
        assert start(model, module(ECHO + DONE, params=[*PARAMS, PARAM % (limit, 2)])).result().end is End.COMPLETED
        assert len(model.asked) == most_asked

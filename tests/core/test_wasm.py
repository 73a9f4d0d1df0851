"""What the WebAssembly runtime promises beyond the contract of all runtimes."""

import hashlib
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import gevent
import pytest
from wasmtime import wat2wasm

from spear.adapters.hub import HubBell
from spear.adapters.runtimes._native import Promise
from spear.adapters.runtimes.wasm import WasmInstance, WasmRuntime
from spear.adapters.system import SystemClock
from spear.errors import InvalidConfiguration
from spear.events._bell import ThreadBell, ThreadTicket
from spear.ports import Artifact, End, Limits, Outcome, RunSpec, Stream
from tests.lines import Lines

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / "samples" / "build" / "hello.wasm"
IMPORTS = """
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "spear" "time_now_ms" (func $now_ms (result i64)))
  (import "spear" "wall_time_s" (func $now_s (result i64)))
  (import "spear" "random_i64" (func $chance (result i64)))
  (import "spear" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "spear" "spear_epoll_create" (func $epoll (result i32)))
  (import "spear" "user_stream_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 4)
"""


@pytest.fixture
def bell() -> Iterator[HubBell]:
    with HubBell() as made:
        yield made


@pytest.fixture
def runtime(bell: HubBell, tmp_path: Path) -> Iterator[WasmRuntime]:
    made = WasmRuntime(tmp_path / "cache", clock=SystemClock(), bell=bell, max_threads=2)
    yield made
    made.close()


def prepare(runtime: WasmRuntime, content: bytes) -> WasmInstance:
    return runtime.prepare(Artifact(lambda: (content, hashlib.sha256(content).hexdigest())))


@pytest.fixture
def run(runtime: WasmRuntime) -> Callable[..., Outcome]:
    """Run WebAssembly text: declarations, or the body of `_start` when it is given as `start`."""

    def run(declarations: str = "", *, start: str = "", log: Lines | None = None, wall_ms: int = 10_000) -> Outcome:
        body = f'(func (export "_start") {start})' if start else ""
        content = bytes(wat2wasm(f"(module {IMPORTS} {declarations} {body})"))
        spec = RunSpec("test", limits=Limits(wall_ms=wall_ms, memory_bytes=1 << 20))
        return prepare(runtime, content).start(spec, log or Lines()).result()

    return run


def words(*numbers: int) -> str:
    """Little-endian 32-bit words as a WebAssembly string."""
    return "".join(f"\\{byte:02x}" for byte in struct.pack(f"<{len(numbers)}I", *numbers))


# --- what is refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "starts with b''"),
        (b"#!/bin/sh\n", "starts with b'#!/bin/s'"),
        (b"(module)", "not a WebAssembly module"),
        (b"\0asm\x0d\0\1\0", "component"),
        (b"\0asm\2\0\0\0", "version"),
        (b"\0asm\1\0\0\0\xff", "not a valid WebAssembly module"),
    ],
)
def test_what_is_no_core_module_is_refused_by_its_first_bytes(
    runtime: WasmRuntime, content: bytes, reason: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=reason):
        prepare(runtime, content)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('(memory (export "memory") 1)', "no function named _start"),
        ('(memory (export "memory") 1) (func (export "_start") (param i32))', "no function named _start"),
        ('(func (export "_start"))', "no memory named memory"),
        ('(import "spear" "fly" (func)) (import "env" "abort" (func))', "spear.fly, env.abort"),
        ('(import "spear" "log" (func (param i64)))', "log"),
        ('(memory (export "memory") 1 1 shared)', "shared memory"),
        ('(memory (export "memory") i64 1)', "memory64"),
    ],
)
def test_what_can_never_run_is_refused_by_name(runtime: WasmRuntime, text: str, reason: str) -> None:
    whole = '(memory (export "memory") 1) (func (export "_start"))'
    rest = whole if "import" in text else ""
    with pytest.raises(InvalidConfiguration, match=reason):
        prepare(runtime, bytes(wat2wasm(f"(module {text} {rest})")))


# --- compiled code


def test_the_same_content_shares_its_code(runtime: WasmRuntime) -> None:
    both = [gevent.spawn(prepare, runtime, HELLO.read_bytes()) for _ in range(2)]
    gevent.joinall(both, raise_error=True)
    later = prepare(runtime, HELLO.read_bytes())
    assert both[0].value._program is both[1].value._program is later._program


def test_compiling_leaves_the_hub_responsive(runtime: WasmRuntime) -> None:
    body = "(local i64) " + "(local.set 0 (i64.mul (i64.add (local.get 0) (i64.const 3)) (i64.const 5)))" * 200
    functions = f"(func {body})" * 300
    content = wat2wasm(f'(module (memory (export "memory") 1) {functions} (func (export "_start")))')
    preparing, turns = gevent.spawn(prepare, runtime, bytes(content)), 0
    while not preparing.ready():
        gevent.sleep(0.001)
        turns += 1
    assert preparing.successful()
    assert turns > 10


def test_a_promise_settled_just_before_the_wait_is_not_missed() -> None:
    class LateBell(ThreadBell):
        def ticket(self) -> ThreadTicket:
            promise.settle("kept")
            return super().ticket()

    promise: Promise[str] = Promise(LateBell())
    assert promise.wait() == "kept"


def test_compiled_code_is_kept_for_the_next_process(bell: HubBell, tmp_path: Path) -> None:
    stamps = []
    for _ in range(2):
        runtime = WasmRuntime(tmp_path, clock=SystemClock(), bell=bell, max_threads=1)
        instance = prepare(runtime, HELLO.read_bytes())
        assert instance.start(RunSpec("test"), Lines()).result().end is End.COMPLETED
        runtime.close()
        stamps.append([(path.name, path.stat().st_ino) for path in tmp_path.iterdir()])
    assert len(stamps[0]) == 1
    assert stamps[0] == stamps[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda code: b"",
        lambda code: b"garbage",
        lambda code: code[: len(code) // 2],
        lambda code: code.replace(b"Hello from", b"Jello from"),
    ],
    ids=["empty", "foreign", "truncated", "one letter"],
)
def test_damaged_compiled_code_is_made_again(bell: HubBell, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    for _ in range(3):
        runtime = WasmRuntime(tmp_path, clock=SystemClock(), bell=bell, max_threads=1)
        outcome = prepare(runtime, HELLO.read_bytes()).start(RunSpec("test"), Lines()).result()
        runtime.close()
        assert outcome.output == b"Hello from SPEAR!\n"
        (kept,) = tmp_path.iterdir()
        whole = kept.read_bytes()
        assert kept.name.split(".")[-2] == hashlib.sha256(whole).hexdigest()
        kept.write_bytes(damage(whole))


def test_compiled_code_is_replaced_and_never_changed_in_place(bell: HubBell, tmp_path: Path) -> None:
    def compiled() -> Path:
        runtime = WasmRuntime(tmp_path, clock=SystemClock(), bell=bell, max_threads=1)
        prepare(runtime, HELLO.read_bytes())
        runtime.close()
        (kept,) = tmp_path.iterdir()
        return kept

    kept = compiled()
    whole = kept.read_bytes()
    kept.write_bytes(b"damaged")
    with kept.open("rb") as mapped:
        assert compiled().read_bytes() == whole
        assert mapped.read() == b"damaged"


def test_the_least_recently_used_compiled_code_makes_room(bell: HubBell, tmp_path: Path) -> None:
    def kept() -> list[str]:
        return sorted({path.name.partition(".")[0] for path in tmp_path.iterdir()})

    contents = [
        bytes(wat2wasm(f'(module (memory (export "memory") 1) (func (export "_start") i32.const {n} drop))'))
        for n in range(3)
    ]
    first, second, third = (hashlib.sha256(content).hexdigest() for content in contents)

    def run(*numbers: int, most_files: float) -> None:
        room = int(most_files * max((path.stat().st_size for path in tmp_path.iterdir()), default=0))
        runtime = WasmRuntime(tmp_path, clock=SystemClock(), bell=bell, max_threads=1, cache_bytes=room)
        for number in numbers:
            assert prepare(runtime, contents[number]).start(RunSpec("test"), Lines()).result().end is End.COMPLETED
        runtime.close()

    run(0, most_files=0)
    run(1, most_files=2.5)
    run(0, 2, most_files=2.5)
    assert kept() == sorted([first, third])
    run(1, most_files=0.5)
    assert kept() == [second]


def test_a_cache_that_cannot_be_written_only_costs_time(bell: HubBell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    runtime = WasmRuntime(tmp_path / "file" / "cache", clock=SystemClock(), bell=bell, max_threads=1)
    outcome = prepare(runtime, HELLO.read_bytes()).start(RunSpec("test"), Lines()).result()
    runtime.close()
    assert outcome.end is End.COMPLETED


# --- memory


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("(call $log (i32.const 2) (i32.const 262140) (i32.const 8))", -14),
        ("(call $log (i32.const 2) (i32.const -4) (i32.const 2))", -14),
        ("(call $log (i32.const 2) (i32.const 0) (i32.const -1))", -22),
        ("(call $log (i32.const 2) (i32.const 262144) (i32.const 0))", 0),
        ("(call $fd_write (i32.const 1) (i32.const 262140) (i32.const 1) (i32.const 0))", 21),
        ("(call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 0))", 21),
        ("(call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 262142))", 21),
        ("(call $fd_write (i32.const 1) (i32.const 0) (i32.const 1025) (i32.const 64))", 28),
        ("(call $fd_write (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 64))", 8),
        ("(call $random (i32.const 262140) (i32.const 8))", 21),
        ("(call $clock (i32.const 9) (i64.const 1) (i32.const 0))", 28),
        ("(call $poll (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))", 28),
        ("(call $poll (i32.const 0) (i32.const 0) (i32.const 90000000) (i32.const 0))", 28),
        ("(call $close (i32.const 1000))", -9),
        ("(call $close (call $epoll))", -9),
    ],
)
def test_a_hostcall_checks_what_it_is_given(run: Callable[..., Outcome], call: str, answer: int) -> None:
    assert run(start=f"(call $exit {call})").exit_code in ((answer,) if answer else (0,))


def test_a_guest_reads_the_time_in_each_unit_and_gets_other_numbers_each_time(run: Callable[..., Outcome]) -> None:
    calls = ("$now_ms", "$now_s", "$chance", "$chance")
    stores = "".join(f"(i64.store (i32.const {8 * n}) (call {name}))" for n, name in enumerate(calls))
    write = "(drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 72)))"
    began = time.time()
    outcome = run(f'(data (i32.const 64) "{words(0, 32)}")', start=stores + write)
    now_ms, now_s, *chance = struct.unpack("<4q", outcome.output)
    assert began * 1000 - 1 <= now_ms <= time.time() * 1000
    assert began - 1 <= now_s <= time.time()
    assert len({*chance, 0}) == 3


def test_a_guest_that_opens_more_than_it_may_is_told(run: Callable[..., Outcome]) -> None:
    start = (
        "(local i32) (loop (br_if 0 (i32.gt_s (local.tee 0 (call $epoll)) (i32.const 0)))) (call $exit (local.get 0))"
    )
    assert run(start=start).exit_code == -12


def test_a_gathered_write_takes_its_pieces_in_order(run: Callable[..., Outcome]) -> None:
    data = f'(data (i32.const 0) "{words(100, 3, 200, 0, 103, 2)}") (data (i32.const 100) "abcde")'
    write = "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 64)))"
    outcome = run(data, start=f"{write} (call $exit (i32.load (i32.const 64)))")
    assert (outcome.output, outcome.exit_code) == (b"abcde", 5)


def test_overlapping_pieces_cannot_make_the_host_copy_more_than_a_mebibyte(run: Callable[..., Outcome]) -> None:
    piece = f'(data (i32.const 0) "{words(*(0, 262144) * 1024)}")'
    write = "(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 9000)))"
    assert len(run(piece, start=write).output) == 1 << 20


def test_a_huge_random_request_cannot_outlast_the_wall_time(run: Callable[..., Outcome]) -> None:
    ask = "(loop (drop (call $random (i32.const 0) (i32.const 262144))) (br 0))"
    assert run(start=ask, wall_ms=100).last_action in ("random_get", "computing")


def test_code_of_the_start_section_is_confined_too(run: Callable[..., Outcome]) -> None:
    endless = "(func $begin (loop (br 0))) (start $begin)"
    outcome = run(endless, start="nop", wall_ms=200)
    assert (outcome.end, outcome.last_action) == (End.TIMEOUT, "computing")
    assert run("(func $begin (call $exit (i32.const 4))) (start $begin)", start="nop").exit_code == 4


@pytest.mark.parametrize(("length", "code"), [(0, 7), (1, -14 + 7)])
def test_code_of_the_start_section_has_no_memory_to_name_yet(
    run: Callable[..., Outcome], length: int, code: int
) -> None:
    call = f"(call $log (i32.const 2) (i32.const 0) (i32.const {length}))"
    begin = f"(func $begin (call $exit (i32.add (i32.const 7) {call}))) (start $begin)"
    assert run(begin, start="nop").exit_code == code


@pytest.mark.parametrize("code", [1, 125, 126, 255, 1000, -1])
def test_any_exit_code_is_kept(run: Callable[..., Outcome], code: int) -> None:
    outcome = run(start=f"(call $exit (i32.const {code}))")
    assert (outcome.reason, outcome.exit_code) == ("exit_code", code)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("(drop (i32.load (i32.const 999999)))", "memory out of bounds"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer division by zero"),
        ("(call $again)", "stack overflow"),
    ],
)
def test_a_trap_is_told_in_words(run: Callable[..., Outcome], start: str, kind: str) -> None:
    outcome = run("(func $again (call $again) (call $again))", start=start)
    assert (outcome.reason, outcome.last_action) == ("trap", "computing")
    assert kind in outcome.error


@pytest.mark.parametrize("most", [16, 100_000, 1 << 40])
def test_guests_run_although_addresses_for_all_of_them_cannot_be_reserved(tmp_path: Path, most: int) -> None:
    script = f"""
        import hashlib, pathlib, resource
        resource.setrlimit(resource.RLIMIT_AS, (40 << 30, 40 << 30))
        from spear.adapters.runtimes.wasm import WasmRuntime
        from spear.adapters.system import SystemClock
        from spear.events._bell import ThreadBell
        from spear.ports import Artifact, RunSpec
        runtime = WasmRuntime(pathlib.Path({str(tmp_path)!r}), clock=SystemClock(), bell=ThreadBell(), max_threads={most})
        content = pathlib.Path({str(HELLO)!r}).read_bytes()
        instance = runtime.prepare(Artifact(lambda: (content, hashlib.sha256(content).hexdigest())))
        print(instance.start(RunSpec("test"), None).result().output)
        runtime.close()
    """
    command = [sys.executable, "-c", dedent(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("b'Hello from SPEAR!\\n'\n", "")


def test_a_guest_finds_nothing_of_what_another_left(run: Callable[..., Outcome]) -> None:
    places = [65536 + 8, 262136, 300000, 900000]  # in memory that stays and in memory that is given back
    found = "".join(f"(if (i32.load (i32.const {place})) (then (call $exit (i32.const 9))))" for place in places)
    leave = "".join(f"(i32.store (i32.const {place}) (i32.const 7))" for place in places)
    slot = "(if (i32.eqz (ref.is_null (table.get $t (i32.const 1)))) (then (call $exit (i32.const 8))))"
    count = "(if (global.get $g) (then (call $exit (i32.const 7))))"
    declarations = "(table $t 2 funcref) (global $g (mut i32) (i32.const 0)) (elem declare func $exit)"
    leave += "(table.set $t (i32.const 1) (ref.func $exit)) (global.set $g (i32.const 1))"
    start = f"(drop (memory.grow (i32.const 11))) {slot} {count} {found} {leave}"
    assert [run(declarations, start=start).exit_code for _ in range(10)] == [0] * 10


@pytest.mark.parametrize(
    ("declarations", "start"),
    [
        ("(type $a (array (mut i32)))", "(drop (array.new $a (i32.const 0) (i32.const 1000)))"),
        ("(tag $t)", "(block $h (try_table (catch $t $h) (throw $t)))"),
        ("(table 1 funcref)" * 10, "nop"),
    ],
)
def test_each_run_has_room_for_what_it_may_use(run: Callable[..., Outcome], declarations: str, start: str) -> None:
    assert [run(declarations, start=start).end for _ in range(5)] == [End.COMPLETED] * 5


# --- waiting and time


def subscription(kind: int, subject: int, *, timeout_ns: int = 0, flags: int = 0) -> str:
    low, high = timeout_ns & 0xFFFFFFFF, timeout_ns >> 32
    return words(7, 0, kind, 0, subject, 0, low, high, 0, 0, flags, 0)


def polled(run: Callable[..., Outcome], *subscriptions: str, adjust: str = "") -> list[tuple[int, int]]:
    """Poll once and tell (errno, type) of every event; nothing else may be written."""
    count = len(subscriptions)
    data = f'(data (i32.const 0) "{"".join(subscriptions)}") (data (i32.const 2048) "{words(1000, 32 * count)}")'
    start = f"""{adjust}
      (if (call $poll (i32.const 0) (i32.const 1000) (i32.const {count}) (i32.const 2000))
        (then (call $exit (i32.const 99))))
      (i32.store (i32.const 2052) (i32.mul (i32.const 32) (i32.load (i32.const 2000))))
      (drop (call $fd_write (i32.const 1) (i32.const 2048) (i32.const 1) (i32.const 3000)))"""
    outcome = run(data, start=start)
    assert outcome.exit_code == 0, outcome.error
    return [event[1:3] for event in struct.iter_unpack("<QHB5x16x", outcome.output)]


@pytest.mark.parametrize("clock", [0, 1])
def test_poll_waits_for_the_sooner_of_two_clocks(run: Callable[..., Outcome], clock: int) -> None:
    sooner, later = (subscription(0, clock, timeout_ns=ns) for ns in (20_000_000, 3_600_000_000_000))
    assert polled(run, later, sooner) == [(0, 0)]


@pytest.mark.parametrize("clock", [0, 1])
def test_poll_waits_until_an_absolute_time_of_the_clock_that_the_guest_reads(
    run: Callable[..., Outcome], clock: int
) -> None:
    now = f"(drop (call $clock (i32.const {clock}) (i64.const 1) (i32.const 24)))"
    soon = "(i64.store (i32.const 24) (i64.add (i64.load (i32.const 24)) (i64.const 20000000)))"
    assert polled(run, subscription(0, clock, flags=1), adjust=now + soon) == [(0, 0)]


def test_poll_finds_streams_ready_before_any_clock(run: Callable[..., Outcome]) -> None:
    hour = subscription(0, 1, timeout_ns=3_600_000_000_000)
    assert polled(run, hour, subscription(1, 0), subscription(2, 1), subscription(2, 2)) == [(0, 1), (0, 2), (0, 2)]


def test_poll_names_what_it_does_not_know(run: Callable[..., Outcome]) -> None:
    assert polled(run, subscription(0, 9), subscription(1, 5), subscription(2, 0)) == [(28, 0), (8, 1), (8, 2)]


# --- stderr


def test_a_last_line_without_its_end_is_kept_and_long_lines_are_cut(run: Callable[..., Outcome]) -> None:
    long = f'(data (i32.const 20000) "{"x" * 20000}\\nlast") (data (i32.const 0) "{words(20000, 20005)}")'
    write = "(drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 64)))"
    log = Lines()
    run(long, start=write, log=log)
    assert [(stream, text) for stream, _, text in log.lines] == [
        (Stream.STDERR, "x" * 16384),
        (Stream.STDERR, "last"),
    ]


# --- under a patched process


def test_it_works_the_same_in_a_process_that_gevent_patched(tmp_path: Path) -> None:
    script = f"""
        from gevent import monkey
        monkey.patch_all()
        import gevent, hashlib, pathlib
        from spear.adapters.hub import HubBell
        from spear.adapters.runtimes.wasm import WasmRuntime
        from spear.adapters.system import SystemClock
        from spear.ports import Artifact, Limits, RunSpec
        class Sink:
            written_bytes = 0
            def write(self, *line): pass
        with HubBell() as bell:
            runtime = WasmRuntime(pathlib.Path({str(tmp_path)!r}), clock=SystemClock(), bell=bell, max_threads=8)
            def start(name, wall_ms=5000):
                content = pathlib.Path({str(HELLO.parent)!r}, name + ".wasm").read_bytes()
                instance = runtime.prepare(Artifact(lambda: (content, hashlib.sha256(content).hexdigest())))
                return instance.start(RunSpec("test", limits=Limits(wall_ms=wall_ms)), Sink())
            runs = [start(name, 300) for name in ("loop", "sleep", "hello", "loop", "trap", "exit3")]
            print(*[run.result().reason or "completed" for run in runs])
            stopped = [start(name) for name in ("loop", "sleep") * 10]
            gevent.spawn_later(0.05, runtime.close)
            print(*sorted({{run.result().reason for run in stopped}}))
            runtime.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["wall_time wall_time completed wall_time trap exit_code", "terminated"]
    assert done.stderr == ""

"""The hostcalls of the import module `spear`, called as plain functions."""

import pytest

from spear.hostcalls.clock import time_now_ms, wall_time_s
from spear.hostcalls.context import Fault
from spear.hostcalls.log import log
from spear.hostcalls.random import random_i64
from spear.hostcalls.sleep import sleep_ms
from spear.hostcalls.table import HOSTCALLS
from spear.ports import Level
from tests.core._calling import Memory

SIGNATURES = {
    "time_now_ms": "() -> i64",
    "wall_time_s": "() -> i64",
    "random_i64": "() -> i64",
    "sleep_ms": "(i32) -> ()",
    "log": "(i32, i32, i32) -> i32",
    "cchat_create": "() -> i32",
    "cchat_write_msg": "(i32, i32, i32, i32, i32) -> i32",
    "cchat_write_fn": "(i32, i32, i32, i32) -> i32",
    "cchat_ctl": "(i32, i32, i32, i32) -> i32",
    "cchat_send": "(i32, i32) -> i32",
    "cchat_recv": "(i32, i32, i32) -> i32",
    "cchat_close": "(i32) -> i32",
    "object_stat": "(i32, i32, i32, i32) -> i32",
    "object_get": "(i32, i32, i64, i32, i32) -> i32",
    "object_put": "(i32, i32, i32, i32, i64) -> i64",
    "object_delete": "(i32, i32, i64) -> i32",
    "user_stream_open": "(i32, i32) -> i32",
    "user_stream_read": "(i32, i32, i32) -> i32",
    "user_stream_write": "(i32, i32, i32) -> i32",
    "user_stream_close": "(i32) -> i32",
    "user_stream_ctl_open": "() -> i32",
    "user_stream_ctl_read": "(i32, i32, i32) -> i32",
    "spear_epoll_create": "() -> i32",
    "spear_epoll_ctl": "(i32, i32, i32, i32) -> i32",
    "spear_epoll_wait": "(i32, i32, i32, i32) -> i32",
    "spear_epoll_close": "(i32) -> i32",
    "spear_fd_ctl": "(i32, i32, i32, i32) -> i32",
}


class FixedClock:
    def now_us(self) -> int:
        return 1_700_000_000_123_456


class Guest(Memory):
    """A guest that is nothing but memory."""

    chance, clock = b"\xff" * 8, FixedClock()

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[Level, str]] = []
        self.pauses: list[float] = []

    def log(self, level: Level, message: str) -> None:
        self.lines.append((level, message))

    def random(self, length: int) -> bytes:
        return self.chance[:length]

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def guest() -> Guest:
    return Guest()


def test_the_table_names_every_hostcall_with_its_signature() -> None:
    def listed(kinds: tuple[str, ...]) -> str:
        return f"({', '.join(kinds)})"

    table = {row.name: f"{listed(row.parameters)} -> {row.results[0] if row.results else '()'}" for row in HOSTCALLS}
    assert table == SIGNATURES


def test_time_is_told_in_milliseconds_and_seconds_of_the_epoch(guest: Guest) -> None:
    assert time_now_ms(guest) == 1_700_000_000_123
    assert wall_time_s(guest) == 1_700_000_000


def test_random_numbers_use_all_64_bits_with_their_sign(guest: Guest) -> None:
    assert random_i64(guest) == -1
    guest.chance = bytes(7) + b"\x80"
    assert random_i64(guest) == -(2**63)


def test_a_negative_sleep_is_none_at_all(guest: Guest) -> None:
    sleep_ms(guest, -5)
    sleep_ms(guest, 1500)
    assert guest.pauses == [0, 1.5]


@pytest.mark.parametrize(
    ("number", "level"),
    [(0, "trace"), (1, "debug"), (2, "info"), (3, "warn"), (4, "error"), (5, "info"), (-1, "info")],
)
def test_log_levels_are_numbered_and_unknown_ones_are_info(guest: Guest, number: int, level: str) -> None:
    guest.write(100, b"hi")
    assert log(guest, number, 100, 2) == 0
    assert guest.lines == [(Level(level), "hi")]


def test_a_log_line_may_have_16_kib_and_no_byte_more(guest: Guest) -> None:
    guest.write(0, b"x" * 16385)
    assert log(guest, 2, 0, 16384) == 0
    assert log(guest, 2, 0, 16385) == -22
    assert log(guest, 2, 0, -1) == -22
    assert [len(text) for _, text in guest.lines] == [16384]


def test_broken_utf8_in_a_log_line_is_replaced(guest: Guest) -> None:
    guest.write(0, b"a\xffb")
    log(guest, 2, 0, 3)
    assert guest.lines == [(Level.INFO, "a\ufffdb")]


def test_a_log_line_outside_the_memory_is_a_fault(guest: Guest) -> None:
    with pytest.raises(Fault):
        log(guest, 2, 65530, 10)
    assert not guest.lines

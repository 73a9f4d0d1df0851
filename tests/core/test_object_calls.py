"""The hostcalls of the object store, called as plain functions."""

import json
from typing import Any

import pytest

from spear.abilities import Abilities, ObjectStat
from spear.errors import Corrupt, Forbidden, Invalid, NotFound, PreconditionFailed, Refused, TooLarge, Unavailable
from spear.hostcalls.context import Fault
from spear.hostcalls.failures import Failed
from spear.hostcalls.objects import object_delete, object_get, object_put, object_stat
from spear.ports import RunSpec
from tests.core._calling import Memory

NAME, OUT, LENGTH, DATA = 0, 1000, 900, 2000


class Store:
    """Knows one object; raises `error` if that is set."""

    def __init__(self) -> None:
        self.content, self.error, self.asked = b"0123456789", None, []

    def _ask(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.error:
            raise self.error

    def stat(self, by: RunSpec, name: str) -> ObjectStat:
        self._ask(by.execution_id, name)
        return ObjectStat(10, 3, "ab", "text/plain")

    def read(self, by: RunSpec, name: str, *, first: int, size: int) -> bytes:
        self._ask(by.execution_id, name, first, size)
        return self.content[first : first + size]

    def write(self, by: RunSpec, name: str, data: bytes, *, version: int | None) -> int:
        self._ask(by.execution_id, name, data, version)
        return 2**40

    def delete(self, by: RunSpec, name: str, *, version: int | None) -> None:
        self._ask(by.execution_id, name, version)


class Guest(Memory):
    """One page of memory, and a store to ask."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.spec = Store(), RunSpec("run")
        self.abilities = Abilities(self.store, models=None, streams=None, recorded=lambda execution_id: None)

    def room(self, size: int) -> None:
        self.write(LENGTH, size.to_bytes(4, "little"))

    def told(self) -> int:
        return int.from_bytes(self.read(LENGTH, 4), "little")


@pytest.fixture
def guest() -> Guest:
    made = Guest()
    made.write(NAME, b"a/b")
    made.write(DATA, b"data")
    made.room(64)
    return made


def test_what_is_known_of_an_object_is_json_of_the_length_that_is_told(guest: Guest) -> None:
    guest.room(256)
    length = object_stat(guest, NAME, 3, OUT, LENGTH)
    known = {"size": 10, "version": 3, "sha256": "ab", "content_type": "text/plain"}
    assert (json.loads(guest.read(OUT, length)), guest.told()) == (known, length)
    assert guest.store.asked == [("run", "a/b")]


def test_a_buffer_that_is_too_small_is_told_how_large_it_should_be_and_left_alone(guest: Guest) -> None:
    guest.room(5)
    assert object_stat(guest, NAME, 3, OUT, LENGTH) == -28
    assert guest.told() > 5
    assert guest.read(OUT, 64) == bytes(64)


def test_an_object_is_read_piece_by_piece_to_its_end(guest: Guest) -> None:
    guest.room(6)
    assert object_get(guest, NAME, 3, 0, OUT, LENGTH) == 6
    assert (guest.read(OUT, 6), guest.told()) == (b"012345", 6)
    assert object_get(guest, NAME, 3, 6, OUT, LENGTH) == 4
    assert (guest.read(OUT, 4), guest.told()) == (b"6789", 4)
    assert object_get(guest, NAME, 3, 10, OUT, LENGTH) == 0
    assert guest.store.asked[-1] == ("run", "a/b", 10, 4)


def test_writing_and_deleting_say_which_version_they_mean(guest: Guest) -> None:
    assert object_put(guest, NAME, 3, DATA, 4, -1) == 2**40
    assert object_put(guest, NAME, 3, DATA, 4, 0) == 2**40
    assert object_delete(guest, NAME, 3, 7) == 0
    assert guest.store.asked == [("run", "a/b", b"data", None), ("run", "a/b", b"data", 0), ("run", "a/b", 7)]


@pytest.mark.parametrize(
    ("error", "errno"),
    [
        (NotFound("x"), "ENOENT"), (Forbidden("x"), "EACCES"), (PreconditionFailed("x"), "EAGAIN"),
        (Refused("x"), "EPERM"), (Invalid("x"), "EINVAL"), (TooLarge("x"), "ENOMEM"), (Unavailable("x"), "EIO"),
        (Corrupt("x"), "EIO"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_the_platform_refuses_becomes_an_error_number(guest: Guest, error: Exception, errno: str) -> None:
    guest.store.error = error
    for call in (
        lambda: object_stat(guest, NAME, 3, OUT, LENGTH), lambda: object_get(guest, NAME, 3, 0, OUT, LENGTH),
        lambda: object_put(guest, NAME, 3, DATA, 4, -1), lambda: object_delete(guest, NAME, 3, -1),
    ):  # fmt: skip
        with pytest.raises(Failed, match=f"^{errno}$"):
            call()


def test_bad_pointers_and_numbers_are_told_before_anything_is_done(guest: Guest) -> None:
    for call in (
        lambda: object_get(guest, 65534, 3, 0, OUT, LENGTH), lambda: object_get(guest, NAME, 3, 0, 65530, LENGTH),
        lambda: object_get(guest, NAME, 3, 0, -1, LENGTH), lambda: object_get(guest, NAME, 3, 0, OUT, 65534),
        lambda: object_put(guest, NAME, 3, 65530, 10, -1), lambda: object_put(guest, NAME, 3, DATA, -1, -1),
    ):  # fmt: skip
        with pytest.raises(Fault):
            call()
    for call in (
        lambda: object_stat(guest, NAME, 0, OUT, LENGTH), lambda: object_stat(guest, NAME, 5000, OUT, LENGTH),
        lambda: object_put(guest, NAME, 3, DATA, 4, -2), lambda: object_delete(guest, NAME, 3, -9),
    ):  # fmt: skip
        with pytest.raises(Failed, match="^EINVAL$"):
            call()
    assert object_get(guest, NAME, 3, -1, OUT, LENGTH) == -22
    assert guest.store.asked == []


def test_a_name_that_is_no_utf8_reaches_the_store_as_one_that_it_refuses(guest: Guest) -> None:
    guest.write(NAME, b"a\xff")
    object_delete(guest, NAME, 2, -1)
    assert guest.store.asked == [("run", "a\ufffd", None)]

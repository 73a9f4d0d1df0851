"""What messages may say: bounds on texts, maps, numbers and ids, with the words that REST uses."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from spear.errors import Invalid

N = TypeVar("N", int, float)
T = TypeVar("T")


def text(name: str, value: str, *, most: int = 1024, least: int = 0) -> str:
    """Text of bounded length without NUL, which neither a path nor an environment can hold."""
    if not least <= len(value) <= most or "\x00" in value:
        raise Invalid.field(
            name, value, f"text of {f'{least} to' if least else 'at most'} {most} characters without NUL"
        )
    return value


def text_map(name: str, values: Mapping[str, str], *, most: int = 64) -> dict[str, str]:
    """A map of text to text with a bounded number of entries."""
    if len(values) > most:
        raise Invalid.field(name, f"{len(values)} entries", f"at most {most} texts by name")
    return {text(name, key, most=256): text(f"{name}.{key}", value, most=8192) for key, value in values.items()}


def text_list(name: str, values: Sequence[str], *, most: int) -> list[str]:
    """At most 256 texts of bounded length."""
    if len(values) > 256:
        raise Invalid.field(name, f"{len(values)} entries", "a list of at most 256 texts")
    return [text(name, value, most=most) for value in values]


def number(name: str, value: N, low: float, high: float) -> N:
    """A number within bounds; never NaN."""
    if not low <= value <= high:
        raise Invalid.field(name, value, f"a number from {low:g} to {high:g}")
    return value


def ident(name: str, value: str) -> str:
    """A UUID in any spelling, handed on in the usual one; or "" for none."""
    try:
        return str(UUID(value)) if value else ""
    except ValueError:
        raise Invalid.field(name, value, 'a UUID or ""') from None


def bare_instance_id(value: str) -> str:
    """An instance's id without the `inst-` that nodes of the public SPEAR write before its UUID."""
    return value.removeprefix("inst-")


def word(name: str, value: int, words: Mapping[int, T], kind: Any) -> T:
    """What an enum's number means; raises `Invalid` for one that means nothing here."""
    if value not in words:
        known = ", ".join(f"{label} ({number})" for label, number in kind.items() if number in words)
        raise Invalid.field(name, value, f"one of {known}")
    return words[value]


def present(request: Any, field: str) -> Any:
    """The message in a field that must be there."""
    if not request.HasField(field):
        raise Invalid(f"{field}: missing, expected a {field}", details={"field": field})
    return getattr(request, field)


def seconds(time_us: int) -> int:
    """Microseconds as the seconds that nodes, tasks and objects are stamped with."""
    return time_us // 1_000_000

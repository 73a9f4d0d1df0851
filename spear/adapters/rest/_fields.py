"""A request's header fields: bounded, and those in their plain form read without http.client, which is slow."""

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n")
_ENDS = (b"\r\n", b"\n")


class HeadTooLarge(ValueError):
    """More header fields, or more bytes of them, than the limit."""


class HeadCut(ConnectionError):
    """The connection ended within the head, so nobody knows what was asked."""


class Fields:
    """A request's header fields as pywsgi asks for them; each was given once."""

    status = ""  # of what is wrong with them: nothing

    def __init__(self, by_name: dict[str, str]) -> None:
        self._by_name = by_name

    @property
    def headers(self) -> Iterator[str]:
        """Each as one line."""
        return (f"{name}:{value}" for name, value in self._by_name.items())

    @property
    def typeheader(self) -> str | None:
        """The content type."""
        return self.get("content-type")

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a field, in any spelling of its name."""
        return self._by_name.get(name.lower(), default)

    getheader = get

    def __delitem__(self, name: str) -> None:
        del self._by_name[name]


def read_lines(rfile: BinaryIO, *, most: int, most_bytes: int) -> list[bytes]:
    """The lines up to the empty one, that one included; raises `HeadTooLarge` or `HeadCut`."""
    lines, size = [], 0
    while True:
        line = rfile.readline(most_bytes - size + 3)
        lines.append(line)
        size += len(line)
        if size > most_bytes + 2:
            raise HeadTooLarge(f"the header fields have more than {most_bytes} bytes, which is the limit")
        if line in _ENDS:
            return lines
        if not line:
            raise HeadCut(f"the connection ended after {size} bytes of header fields")
        if len(lines) > most:
            raise HeadTooLarge(f"there are more than {most} header fields, which is the limit")


def plain(lines: Sequence[bytes]) -> Fields | None:
    """The header fields, if each has the one form that RFC 9112 wants and a name of its own."""
    found: dict[str, str] = {}
    for line in lines[:-1]:
        field = _FIELD.fullmatch(line)
        if field is None or (name := field[1].decode("latin-1").lower()) in found:
            return None
        found[name] = field[2].decode("latin-1")
    return Fields(found) if lines[-1] == b"\r\n" else None

"""Header fields in their plain form are read by us, all others by pywsgi; it makes no difference to what is understood."""

from http.client import HTTPException
from io import BufferedReader, BytesIO
from types import SimpleNamespace

import pytest
from gevent.pywsgi import WSGIHandler
from hypothesis import example, given
from hypothesis import strategies as st

from spear.adapters.rest._fields import HeadCut, HeadTooLarge, plain, read_lines
from spear.adapters.rest.server import _Handler
from spear.config import Http

NAMES = st.sampled_from(
    [b"Host", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Content-Type", b"Cookie", b"X_Y", b"From x"]
)
VALUES = st.sampled_from([b"", b"a", b"2", b" 2 ", b"chunked", b"a:b", b"\t\xff\xa0 ", b"a\rb", b"a\x00b", b"a\x0cb"])
COLONS = st.sampled_from([b":", b": ", b":\t ", b" : ", b""])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n", b"\r\n folded\r\n"])
LINES = st.lists(st.tuples(NAMES, COLONS, VALUES, ENDS).map(b"".join), max_size=6).map(b"".join)
LIMITS = Http(max_headers=99, max_header_bytes=65536)
MANY = b"".join(b"N%d: v\r\n" % number for number in range(100))


def _understood(kind: type[WSGIHandler], head: bytes) -> object:
    rfile = BufferedReader(BytesIO(head))
    handler = object.__new__(kind)
    handler.server = SimpleNamespace(limits=LIMITS)
    try:
        fields = kind.MessageClass(handler, rfile, 0)
    except HTTPException as error:
        return repr(error)
    read = [line.split(":", 1) for line in fields.headers]
    named = {name: fields.get(name, "none") for name in ("Content-Length", "transfer-encoding", "HOST", "cookie")}
    return (
        fields.status,
        [(name.lower(), value.strip()) for name, value in read],
        fields.typeheader,
        named,
        rfile.read(),
    )


@given(LINES, st.sampled_from([b"\r\n", b"\n", b"", b"\r\r\n"]))
@example(MANY[8:], b"\r\n")
@example(b"Host: " + b"x" * 65_528 + b"\r\n", b"\r\n")
def test_what_is_understood_is_what_pywsgi_understands(lines: bytes, end: bytes) -> None:
    head = lines + end + b"the body\r\n\r\nGET"
    assert _understood(_Handler, head) == _understood(WSGIHandler, head)


def test_only_the_plain_form_is_read_here() -> None:
    good = [b"Host: a\r\n", b"X-Y:\t b c \r\n", b"\r\n"]
    assert plain(good) is not None
    for odd in (
        b"host: b\r\n",
        b"A : b\r\n",
        b" folded\r\n",
        b"A: b\n",
        b": b\r\n",
        b"A\r\n",
        b"A: b\rc\r\n",
        b"A: \x00\r\n",
    ):
        assert plain([*good[:-1], odd, good[-1]]) is None


@pytest.mark.parametrize("lines", [b"A: b\r\n" * 3, b"A: " + b"x" * 9 + b"\r\n", b"A: x\r\n B\r\n C: x\r\n", b"A" * 99])
def test_more_than_the_limit_is_refused_without_reading_on(lines: bytes) -> None:
    rfile = BufferedReader(BytesIO(lines + b"\r\n" + b"x" * 1000))
    with pytest.raises(HeadTooLarge):
        read_lines(rfile, most=2, most_bytes=13)
    assert rfile.tell() <= 3 * 6


def test_what_reaches_the_limit_is_taken() -> None:
    assert read_lines(BytesIO(b"A: b\r\nA: bc\r\n\r\n"), most=2, most_bytes=13)[-1] == b"\r\n"


@pytest.mark.parametrize("cut", [b"", b"A: b\r\n", b"A: b\r\nContent-Le", b"A: b\r"])
def test_a_head_that_is_cut_off_is_no_request(cut: bytes) -> None:
    with pytest.raises(HeadCut):
        read_lines(BytesIO(cut), most=99, most_bytes=999)

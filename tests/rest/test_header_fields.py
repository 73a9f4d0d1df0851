"""Header fields in their plain form are read by us, all others by pywsgi; it makes no difference to what is understood."""

from http.client import HTTPException
from io import BufferedReader, BytesIO

from gevent.pywsgi import WSGIHandler
from hypothesis import example, given
from hypothesis import strategies as st

from spear.adapters.rest.server import _Handler, _plain_fields

NAMES = st.sampled_from(
    [b"Host", b"Content-Length", b"content-length", b"Transfer-Encoding", b"Content-Type", b"Cookie", b"X_Y", b"From x"]
)
VALUES = st.sampled_from([b"", b"a", b"2", b" 2 ", b"chunked", b"a:b", b"\t\xff\xa0 ", b"a\rb", b"a\x00b", b"a\x0cb"])
COLONS = st.sampled_from([b":", b": ", b":\t ", b" : ", b""])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n", b"\r\n folded\r\n"])
LINES = st.lists(st.tuples(NAMES, COLONS, VALUES, ENDS).map(b"".join), max_size=6).map(b"".join)
MANY = b"".join(b"N%d: v\r\n" % number for number in range(100))


def _understood(kind: type[WSGIHandler], head: bytes) -> object:
    rfile = BufferedReader(BytesIO(head))
    try:
        fields = kind.MessageClass(object.__new__(kind), rfile, 0)
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
@example(MANY, b"\r\n")
@example(MANY[8:], b"\r\n")
@example(b"Host: " + b"x" * 65_530 + b"\r\n", b"\r\n")
@example(b"Host: " + b"x" * 65_528 + b"\r\n", b"\r\n")
def test_what_is_understood_is_what_pywsgi_understands(lines: bytes, end: bytes) -> None:
    head = lines + end + b"the body\r\n\r\nGET"
    assert _understood(_Handler, head) == _understood(WSGIHandler, head)


def test_only_the_plain_form_is_read_here() -> None:
    plain = [b"Host: a\r\n", b"X-Y:\t b c \r\n", b"\r\n"]
    assert _plain_fields(plain) is not None
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
        assert _plain_fields([*plain[:-1], odd, plain[-1]]) is None

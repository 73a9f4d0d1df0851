"""A WSGI server on gevent that answers small requests without delay and stops without cutting answers off."""

import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import gevent
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer

from spear.config import Address, Tls
from spear.errors import StartupError

log = logging.getLogger(__name__)
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
MAX_REQUEST_LINE = 16_384
LAST_ANSWERS_S = 1.0
_MOST_LINES, _LONGEST_LINE = 100, 65_536  # http.client's; what reaches them is left to it
_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n")
_ENDS = (b"\r\n", b"\n", b"")
_SMALL = 64 * 1024


class _Fields:
    """A request's header fields as pywsgi asks for them; each was given once."""

    status = ""  # of what is wrong with them: nothing

    def __init__(self, by_name: dict[str, str]) -> None:
        self._by_name = by_name

    @property
    def headers(self) -> Iterator[str]:
        return (f"{name}:{value}" for name, value in self._by_name.items())

    @property
    def typeheader(self) -> str | None:
        return self.get("content-type")

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._by_name.get(name.lower(), default)

    getheader = get

    def __delitem__(self, name: str) -> None:
        del self._by_name[name]


def _plain_fields(lines: Sequence[bytes]) -> _Fields | None:
    """The header fields, if each has the one form that RFC 9112 wants and a name of its own."""
    found: dict[str, str] = {}
    for line in lines[:-1]:
        field = _FIELD.fullmatch(line)
        if field is None or (name := field[1].decode("latin-1").lower()) in found:
            return None
        found[name] = field[2].decode("latin-1")
    return _Fields(found) if lines[-1] == b"\r\n" and len(lines) <= _MOST_LINES else None


class _Handler(WSGIHandler):  # type: ignore[misc]
    """Requests are logged by the application, which knows their correlation id."""

    MAX_REQUEST_LINE = MAX_REQUEST_LINE

    def MessageClass(self, rfile: BinaryIO, *args: Any) -> Any:
        """The header fields; those in any unusual form are parsed by http.client, which is slow."""
        lines = [rfile.readline(_LONGEST_LINE + 1)]
        while lines[-1] not in _ENDS and len(lines[-1]) <= _LONGEST_LINE and len(lines) <= _MOST_LINES:
            lines.append(rfile.readline(_LONGEST_LINE + 1))
        return _plain_fields(lines) or super().MessageClass(BytesIO(b"".join(lines)), *args)

    def _write_with_headers(self, data: bytes) -> None:
        """Head and small body leave together."""
        self.headers_sent = True
        self.finalize_headers()
        head = b"HTTP/1.1 %b\r\n%b\r\n" % (self.status, b"".join(b"%b: %b\r\n" % h for h in self.response_headers))
        if self.response_use_chunked or len(data) > _SMALL:
            self._sendall(head)
            self._write(data)
        else:
            self._sendall(head + data)

    def _sendall(self, data: bytes) -> None:
        """Send; of what one call takes, gevent is not asked how to cut it into pieces."""
        sent = self.socket.send(data)
        if sent < len(data):
            self.socket.sendall(memoryview(data)[sent:])
        self.response_length += len(data)

    def log_request(self) -> None:
        """Nothing here."""

    def handle_one_response(self) -> None:
        """Answer one request, counted so that a stop can wait for it."""
        self.server.answering += 1
        try:
            super().handle_one_response()
        finally:
            self.server.answering -= 1


class HttpServer:
    """One listening address; `key` names its configuration key when it cannot be bound."""

    def __init__(self, address: Address, *, key: str, tls: Tls) -> None:
        self._listener = _listen(address, key)
        self._tls = _context(tls)
        self._server: WSGIServer | None = None
        self.port: int = self._listener.getsockname()[1]

    def serve(self, app: Wsgi) -> None:
        """Begin to answer; connections that came before wait until now."""
        errors = LoggingLogAdapter(log, logging.ERROR)
        encrypted = {"ssl_context": self._tls} if self._tls else {}
        self._server = WSGIServer(self._listener, app, log=None, error_log=errors, handler_class=_Handler, **encrypted)
        self._server.answering = 0
        self._server.start()

    def stop_accepting(self) -> None:
        """Take no more connections; those that there are go on."""
        if self._server is not None:
            self._server.close()
        self._listener.close()

    def close(self) -> None:
        """Stop accepting and give answers under way `LAST_ANSWERS_S` seconds; may be called twice."""
        self.stop_accepting()
        deadline = time.monotonic() + LAST_ANSWERS_S
        while self._server is not None and self._server.answering and time.monotonic() < deadline:
            gevent.sleep(0.01)


def _context(tls: Tls) -> ssl.SSLContext | None:
    if not tls.enabled or tls.cert_path is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert_path, tls.key_path)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"http.cert_path, http.key_path: cannot use {tls.cert_path}: {error}") from None
    return context


def _listen(address: Address, key: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited; without it small answers take 44 ms
    try:
        listener.bind((address.host, address.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise StartupError(f"{key}: cannot listen on {address}: {error.strerror}") from None
    listener.setblocking(False)
    return listener

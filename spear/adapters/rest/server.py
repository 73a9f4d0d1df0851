"""A WSGI server on gevent that answers small requests without delay, bears no flood, and stops without cutting answers off."""

import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EPIPE
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import gevent
import msgspec
from gevent import pywsgi
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer

from spear.adapters.rest._fields import HeadTooLarge, plain, read_lines
from spear.adapters.rest._wire import Line, Wire
from spear.config import Address, Http, Tls
from spear.errors import StartupError

log = logging.getLogger(__name__)
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
LAST_ANSWERS_S = 1.0
OPEN = "spear.open"  # in the environ of a listener at which nobody needs a token
LEAVE = "spear.leave"  # in the environ of a request that may leave HTTP: call it for the `Line`, and answer nothing
_SMALL = 64 * 1024
_GIVEN_UP = object()


class _Handler(WSGIHandler):  # type: ignore[misc]
    """Requests are logged by the application, which knows their correlation id."""

    def __init__(self, sock: socket.socket, address: Any, server: "_Server") -> None:
        self._wire = Wire(sock)
        super().__init__(sock, address, server, rfile=BufferedReader(self._wire))

    def read_requestline(self) -> str:
        """Wait for a request; while it does, the connection may be given up for another one."""
        limits = self.server.limits
        self.server.waiting[gevent.getcurrent()] = None
        self._wire.allow(limits.idle_timeout_s if self.requestline else limits.request_timeout_s)
        self.rfile.peek(1)
        self._wire.allow(limits.request_timeout_s)
        line: str = super().read_requestline()
        return line

    def MessageClass(self, rfile: BinaryIO, *args: Any) -> Any:
        """The header fields; those in any unusual form are parsed by http.client, which is slow."""
        limits = self.server.limits
        lines = read_lines(rfile, most=limits.max_headers, most_bytes=limits.max_header_bytes)
        return plain(lines) or super().MessageClass(BytesIO(b"".join(lines)), *args)

    def handle_one_response(self) -> None:
        """Answer one request, counted so that a stop can wait for it."""
        limits = self.server.limits
        if self.server.waiting.pop(gevent.getcurrent(), _GIVEN_UP) is _GIVEN_UP:
            self.close_connection = True
            return
        self._wire.allow(limits.request_timeout_s, a_byte=1 / limits.min_bytes_per_s)
        if self._connection_upgrade_requested():
            self.environ[LEAVE] = self._leave
        self.server.answering += 1
        try:
            super().handle_one_response()
        finally:
            self.server.answering -= 1
            if self._wire.failed:
                self.close_connection = True

    def _leave(self) -> Line:
        self.close_connection = True
        patience_s, leaving = self.server.limits.idle_timeout_s, self.server.leaving
        return Line(self.socket, self._wire, self.rfile, patience_s=patience_s, leaving=leaving)

    def _handle_client_error(self, ex: Exception) -> Any:
        if isinstance(ex, TimeoutError):
            return _told("408 Request Timeout", "TIMEOUT", "the request came too slowly")
        if isinstance(ex, ConnectionError):
            return None
        if isinstance(ex, HeadTooLarge):
            return _told("431 Request Header Fields Too Large", "TOO_LARGE", str(ex))
        super()._handle_client_error(ex)
        return _told("400 Bad Request", "MALFORMED_REQUEST", f"the head of the request: {str(ex)[:200]}")

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
        self.socket.settimeout(self.server.limits.idle_timeout_s)
        try:
            sent = self.socket.send(data)
            if sent < len(data):
                self.socket.sendall(memoryview(data)[sent:])
        except TimeoutError:
            raise BrokenPipeError(EPIPE, "nobody takes the answer") from None
        self.response_length += len(data)

    def log_request(self) -> None:
        """Nothing here."""


def _told(status: str, code: str, message: str) -> tuple[str, bytes]:
    body = msgspec.json.encode({"error": code, "message": message, "details": {}})
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return status[:3], head.encode() + body


_FULL = _told("503 Service Unavailable", "UNAVAILABLE", "all connections are in use; try again later")[1]
_LONGEST = 16_384  # an object's key may take 9,216 bytes, each of its characters nine
pywsgi.MAX_REQUEST_LINE = _LONGEST  # which pywsgi asks nobody for, nor what it answers to more
pywsgi._REQUEST_TOO_LONG_RESPONSE = _told(
    "414 URI Too Long", "TOO_LARGE", f"the request line has {_LONGEST} bytes or more"
)[1]


class _Server(WSGIServer):  # type: ignore[misc]
    """A bounded number of connections: for a new one, the one that has waited longest for a request is given up."""

    def __init__(self, *args: Any, limits: Http, **options: Any) -> None:
        self.limits, self.answering, self._open = limits, 0, 0
        self.waiting: dict[gevent.Greenlet, None] = {}
        self.leaving: set[Callable[[], None]] = set()
        super().__init__(*args, **options)

    def do_handle(self, sock: socket.socket, address: Any) -> None:
        """Take a connection, or refuse it while every other one is being answered."""
        self._open += 1
        if self._open > self.limits.max_connections and not self._give_one_up():
            with suppress(OSError):
                sock.send(_FULL if not self.ssl_enabled else b"")
            self._done(sock)
        else:
            greenlet = gevent.spawn(self._handle, sock, address)
            self.waiting[greenlet] = None
            greenlet.rawlink(lambda _: self._done(sock))  # called for those too that are killed before they began

    def _give_one_up(self) -> bool:
        longest = next(iter(self.waiting), None)
        if longest is None:
            return False
        del self.waiting[longest]
        longest.kill(block=False)
        return True

    def _done(self, sock: socket.socket) -> None:
        self._open -= 1
        sock.close()

    def handle(self, sock: socket.socket, address: Any) -> None:
        """Answer the requests of one connection."""
        try:
            super().handle(sock, address)
        finally:
            self.waiting.pop(gevent.getcurrent(), None)

    def wrap_socket_and_handle(self, sock: socket.socket, address: Any) -> None:
        """The same behind TLS; who does not come to terms in time is left."""
        sock.settimeout(self.limits.request_timeout_s)
        try:
            encrypted = self.wrap_socket(sock, **self.ssl_args)
        except OSError as error:
            log.debug("no TLS with %s: %s", address, error)
            return
        with encrypted:
            self.handle(encrypted, address)


class HttpServer:
    """One listening address; `key` names its configuration key when it cannot be bound. A path is a local socket's."""

    def __init__(self, address: Address | Path, *, key: str, tls: Tls, limits: Http | None = None) -> None:
        self._address = address
        self._listener = _listen_here(address) if isinstance(address, Path) else _listen(address, key)
        self._tls, self._limits = _context(tls), limits or Http()
        self._server: _Server | None = None
        self.port: int = 0 if isinstance(address, Path) else self._listener.getsockname()[1]

    def serve(self, app: Wsgi, *, open_door: bool = False) -> None:
        """Begin to answer; connections that came before wait until now."""
        errors = LoggingLogAdapter(log, logging.ERROR)
        options = {"ssl_context": self._tls} if self._tls else {}
        self._server = _Server(
            self._listener,
            app,
            log=None,
            error_log=errors,
            handler_class=_Handler,
            environ={OPEN: open_door},
            limits=self._limits,
            **options,
        )
        self._server.start()

    def stop_accepting(self) -> None:
        """Take no more connections; those that there are go on, but for those that left HTTP: they are told."""
        if self._server is not None:
            self._server.close()
            for leave in tuple(self._server.leaving):
                leave()
        self._listener.close()

    def close(self) -> None:
        """Stop accepting and give answers under way `LAST_ANSWERS_S` seconds; may be called twice."""
        self.stop_accepting()
        if isinstance(self._address, Path):
            self._address.unlink(missing_ok=True)
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
        raise StartupError(
            f"http.cert_path, http.key_path: cannot use {tls.cert_path}: {error.strerror or error}"
        ) from None
    if tls.client_ca_path:
        _ask_for_certificates(context, tls.client_ca_path)
    return context


def _ask_for_certificates(context: ssl.SSLContext, client_ca: Path) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"http.client_ca_path: cannot use {client_ca}: {error.strerror or error}") from None


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


def _listen_here(path: Path) -> socket.socket:
    """A socket that only this user can reach; bound through its folder, since long paths do not fit into its address."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o600)  # nobody comes in before it listens
        listener.listen(16)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(folder)
    listener.setblocking(False)
    return listener

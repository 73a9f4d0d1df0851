"""A WSGI server on gevent that answers small requests without delay and stops without cutting answers off."""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer

from spear.config import Address, Tls
from spear.errors import StartupError

log = logging.getLogger(__name__)
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
MAX_REQUEST_LINE = 16_384
LAST_ANSWERS_S = 1.0


class _Handler(WSGIHandler):  # type: ignore[misc]
    """Requests are logged by the application, which knows their correlation id."""

    MAX_REQUEST_LINE = MAX_REQUEST_LINE

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

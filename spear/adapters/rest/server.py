"""A WSGI server on gevent that answers small requests without delay and stops without cutting answers off."""

import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer

from spear.config import Address
from spear.errors import StartupError

log = logging.getLogger(__name__)
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
MAX_REQUEST_LINE = 16_384


class _Handler(WSGIHandler):  # type: ignore[misc]
    """Requests are logged by the application, which knows their correlation id."""

    MAX_REQUEST_LINE = MAX_REQUEST_LINE

    def log_request(self) -> None:
        """Nothing here."""


class HttpServer:
    """One listening address; `key` names its configuration key when it cannot be bound."""

    def __init__(self, address: Address, *, key: str) -> None:
        self._listener = _listen(address, key)
        self._server: WSGIServer | None = None
        self.port: int = self._listener.getsockname()[1]

    def serve(self, app: Wsgi) -> None:
        """Begin to answer; connections that came before wait until now."""
        errors = LoggingLogAdapter(log, logging.ERROR)
        self._server = WSGIServer(self._listener, app, log=None, error_log=errors, handler_class=_Handler)
        self._server.start()

    def close(self) -> None:
        """Stop accepting; answers under way get a moment to finish; may be called twice."""
        if self._server is not None:
            self._server.stop(timeout=1)
        self._listener.close()


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

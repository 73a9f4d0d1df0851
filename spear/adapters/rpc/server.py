"""A gRPC server whose calls are greenlets; it stops without cutting answers off."""

import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gevent
import grpc
from grpc.experimental.gevent import init_gevent

from spear.adapters.hub import HubBell
from spear.adapters.rpc.access import Access
from spear.adapters.rpc.calls import Service, Streams, handlers
from spear.adapters.rpc.completions import Completions
from spear.adapters.rpc.services.health import Health
from spear.adapters.rpc.services.reflection import Reflection
from spear.config import Address, Grpc, Tls
from spear.errors import StartupError

P = ParamSpec("P")
T = TypeVar("T")
MOST_CALLS = 1024
LAST_ANSWERS_S = 1.0
_FOR_EVER_S = 1e6
_MINUTE_MS = 60_000
_OPTIONS = {
    "grpc.max_concurrent_streams": MOST_CALLS,
    "grpc.server_handshake_timeout_ms": 10_000,
    "grpc.max_connection_idle_ms": 5 * _MINUTE_MS,
    "grpc.so_reuseport": 0,  # else a second process would share the port in silence
    "grpc.keepalive_time_ms": _MINUTE_MS,
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.http2.min_ping_interval_without_data_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_metadata_size": 16_384,
}


class _Greenlets(Executor):
    """Runs each call in a greenlet of its own; the server bounds how many there are."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        done: Future[T] = Future()

        def run() -> None:
            result = work(*args, **kwargs)  # grpc catches what it raises; a killed greenlet still counts as done
            done.set_result(result)

        gevent.spawn(run).link(lambda _: done.done() or done.cancel())
        return done


@cache
def on_the_hub() -> None:
    """Make grpc wait on gevent's hub; before it makes its first queue, and once."""
    hub = gevent.get_hub()
    everybodys, hub.threadpool = hub.threadpool, Completions(HubBell())
    init_gevent()  # takes what the hub has for one, for good
    hub.threadpool = everybodys


class RpcServer:
    """One listening address; `key` names its configuration key when it cannot be bound."""

    def __init__(self, address: Address, *, key: str, tls: Tls, limits: Grpc) -> None:
        on_the_hub()
        address = _probed(address, key)
        options = {
            **_OPTIONS,
            "grpc.max_receive_message_length": limits.max_message_bytes,
            "grpc.max_allowed_incoming_connections": limits.max_connections,
        }
        self._server = grpc.server(
            _Greenlets(), options=list(options.items()), maximum_concurrent_rpcs=MOST_CALLS + limits.max_streams
        )
        self._health: Health | None = None
        self._most_streams = limits.max_streams
        self.port = _bind(self._server, address, key, tls)

    def serve(self, services: Sequence[Service], access: Access) -> None:
        """Begin to answer for these services, for their health and for their descriptions."""
        names, streams = (
            [service.DESCRIPTOR.full_name for service in services],
            Streams(access.tokens, self._most_streams),
        )
        self._health = Health(names)
        self._server.add_generic_rpc_handlers(handlers([*services, self._health], streams, access))
        Reflection((*names, Health.DESCRIPTOR.full_name), streams, access).add_to(self._server)
        self._server.start()

    def stop_accepting(self) -> None:
        """Take no more calls; those that there are go on."""
        if self._health is not None:
            self._health.stop()
        self._server.stop(_FOR_EVER_S)

    def close(self) -> None:
        """Stop accepting and give calls under way `LAST_ANSWERS_S` seconds; may be called twice."""
        self._server.stop(LAST_ANSWERS_S).wait(LAST_ANSWERS_S + 1)


def _bind(server: grpc.Server, address: Address, key: str, tls: Tls) -> int:
    credentials = _credentials(tls, key.rpartition(".")[0])
    try:
        if credentials is None:
            return int(server.add_insecure_port(str(address)))
        return int(server.add_secure_port(str(address), credentials))
    except RuntimeError as error:
        raise StartupError(f"{key}: cannot listen on {address}: {error}") from None


def _probed(address: Address, key: str) -> Address:
    """The address in numbers, since grpc looks up names in a way of its own.

    Raises `StartupError` with the system's reason when it cannot be bound; grpc itself does not say it.
    """
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise StartupError(f"{key}: cannot listen on {address}: {error.strerror}") from None
        return Address(probe.getsockname()[0], address.port)


def _credentials(tls: Tls, table: str) -> Any:
    if not tls.enabled or tls.cert_path is None or tls.key_path is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_path, tls.key_path)  # grpc would not say why
        pair = tls.key_path.read_bytes(), tls.cert_path.read_bytes()
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"{table}.cert_path, {table}.key_path: cannot use {tls.cert_path}: {error.strerror or error}"
        ) from None
    ca = _client_ca(tls.client_ca_path, table) if tls.client_ca_path else None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


def _client_ca(path: Path, table: str) -> bytes:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
        return path.read_bytes()
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"{table}.client_ca_path: cannot use {path}: {error.strerror or error}") from None

"""A real model server on loopback: what it answers, and how it misbehaves, is the first part of the path."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from threading import Event, Thread
from typing import Any

KEY = "sk-very-secret"
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
HUGE = 9 * 1024 * 1024


def completion(asked: dict[str, Any], **message: Any) -> bytes:
    """An answer in the form of chat completions."""
    said = {"role": "assistant", "content": f"you said: {asked['messages'][-1]['content']}"} | message
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    body = {"id": "c1", "object": "chat.completion", "model": "tiny-1", "choices": [choice], "usage": USAGE}
    return json.dumps(body).encode()


class Handler(BaseHTTPRequestHandler):
    """One connection; the server keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "ModelServer"

    def do_POST(self) -> None:
        """Do what the path says."""
        self.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = self.path.split("/")[1]
        self.server.paths.append(self.path)
        self.server.clients.append(self.client_address)
        self.server.asked[kind].append((dict(self.headers), self.asked))
        getattr(self, f"be_{kind}")()

    def tell(self, body: bytes, status: int = 200, **headers: str) -> None:
        """One whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status: int, message: str) -> None:
        """An error as this protocol tells one."""
        error = {"error": {"type": "some_type", "code": "some_code", "message": message}}
        self.tell(json.dumps(error).encode(), status)

    def be_good(self) -> None:
        self.tell(completion(self.asked))

    def be_script(self) -> None:
        self.tell(self.server.script(self.asked))

    def be_chunked(self) -> None:
        """A byte at a time, without telling how many will come."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for byte in completion(self.asked):
            self.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def be_busy(self) -> None:
        self.fail(429, "too many requests")

    def be_broken(self) -> None:
        self.fail(500, f"your key {self.headers['Authorization']} broke it")

    def be_garbage(self) -> None:
        self.tell(b"<html>hello</html>")

    def be_list(self) -> None:
        self.tell(b"[1, 2.50]")

    def be_huge(self) -> None:
        with suppress(OSError):
            self.tell(b'"' + b"x" * HUGE + b'"')

    def be_half(self) -> None:
        self.tell(b'{"half":', **{"Content-Length": "1000"})
        self.close_connection = True

    def be_elsewhere(self) -> None:
        self.tell(b"", 307, Location="/good/v1/chat/completions")

    def be_silent(self) -> None:
        """Never answer; note when the other side gives up."""
        self.server.waiting.set()
        with suppress(OSError):
            self.connection.settimeout(30)
            if self.connection.recv(1) == b"":
                self.server.given_up.set()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class ModelServer(ThreadingHTTPServer):
    """What was asked, by the first part of the path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        self.paths: list[str] = []
        self.clients: list[Any] = []
        self.asked: defaultdict[str, list[tuple[dict[str, str], dict[str, Any]]]] = defaultdict(list)
        self.script: Callable[[dict[str, Any]], bytes] = completion
        self.waiting, self.given_up = Event(), Event()

    def url(self, kind: str) -> str:
        """The base URL of a backend that behaves so."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{kind}/v1"

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news."""


@contextmanager
def model_server(tls: SSLContext | None = None) -> Iterator[ModelServer]:
    """One that serves until the end of the context."""
    with ModelServer() as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

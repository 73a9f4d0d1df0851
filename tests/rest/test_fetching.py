"""What a process makes of another one's answers about objects, whoever that is."""

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

import pytest

from spear.adapters.rest.fetching import HttpObjects
from spear.errands import FarObject, NodeAddress
from spear.errors import Corrupt, SpearError, Unavailable

DIGEST = f"Repr-Digest: sha-256=:{b64encode(sha256(b'content').digest()).decode()}:\r\n"


@contextmanager
def answering(head: str, body: bytes = b"content") -> Iterator[int]:
    """A server that gives everybody this head, and the body to who asks for it; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    asked = client.recv(65536)
                    client.sendall(f"HTTP/1.1 {head}\r\n".encode() + (b"" if asked.startswith(b"HEAD") else body))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def find(port: int) -> FarObject | None:
    """The object as a node on this port has it."""
    nodes = HttpObjects(here=True, code="NODE_UNREACHABLE", patience_s=5)
    return nodes.find(NodeAddress("some-node", "127.0.0.1", port), "b/k")


def refusal(head: str, body: bytes = b"") -> SpearError:
    """What is raised for this answer."""
    with answering(f"{head}\r\nContent-Length: {len(body)}\r\n", body) as port, pytest.raises(SpearError) as caught:
        find(port)
    return caught.value


def told(code: str, **details: str) -> bytes:
    return json.dumps({"error": code, "message": "because", "details": details}).encode()


def test_content_is_found_and_read_from_a_byte_on() -> None:
    with answering(f"200 OK\r\n{DIGEST}Content-Length: 7\r\nContent-Type: text/x\r\nx-object-meta-A: b\r\n") as port:
        found = find(port)
        assert found is not None
        assert (found.size, found.content_type, dict(found.metadata)) == (7, "text/x", {"a": "b"})
        with found.open_at(0) as reader:
            assert [reader.read(3), reader.read(100), reader.read(1)] == [b"con", b"tent", b""]


def test_where_there_is_none_there_is_none() -> None:
    with answering("404 Not Found\r\nContent-Length: 0\r\n") as port:
        assert find(port) is None


@pytest.mark.parametrize(
    "head", ["Content-Length: 7\r\n", DIGEST, f"{DIGEST}Content-Length: many\r\n"], ids=["hash", "size", "number"]
)
def test_who_tells_no_size_or_hash_is_not_believed(head: str) -> None:
    with answering(f"200 OK\r\n{head}") as port, pytest.raises(Unavailable, match="does not tell the size"):
        find(port)


def test_other_content_than_its_hash_says_is_not_handed_out_to_the_end() -> None:
    with answering(f"200 OK\r\n{DIGEST}Content-Length: 7\r\n", b"CONTENT") as port:
        found = find(port)
        assert found is not None
        with found.open_at(0) as reader, pytest.raises(Corrupt):
            assert reader.read(3) == b"CON"
            reader.read(4)


def test_header_fields_that_none_of_ours_writes_are_not_passed_on() -> None:
    folded = "Content-Type: text/html\r\n Set-Cookie: a\r\nX-Object-Meta-A: b\r\n c\r\n"
    with answering(f"200 OK\r\n{DIGEST}Content-Length: 7\r\n{folded}") as port:
        found = find(port)
        assert found is not None
        assert found.content_type == "application/octet-stream"
        assert all(value.isprintable() for value in found.metadata.values())


def test_a_refusal_names_the_node_and_says_why() -> None:
    away = refusal("401 Unauthorized", told("UNAUTHENTICATED"))
    assert (away.code, away.details) == ("NODE_UNREACHABLE", {"node_uuid": "some-node"})
    assert "because" in away.message
    assert refusal("500 Oops", b"not ours").code == "NODE_UNREACHABLE"
    assert refusal("500 Oops", told("CORRUPT", sha256="x")).code == "CORRUPT"


def test_what_the_sms_says_of_a_node_is_passed_on() -> None:
    passed = refusal("503 Service Unavailable", told("NODE_UNREACHABLE", node_uuid="another"))
    assert (passed.code, passed.message, passed.details) == ("NODE_UNREACHABLE", "because", {"node_uuid": "another"})


def test_a_node_that_gave_no_address_is_not_asked() -> None:
    with pytest.raises(Unavailable, match="no address"):
        HttpObjects(here=True, code="NODE_UNREACHABLE", patience_s=5).find(NodeAddress("n", "0.0.0.0", 1), "b/k")

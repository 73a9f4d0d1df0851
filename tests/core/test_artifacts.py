import hashlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

import pytest

from spear.adapters.storage.artifacts import FileRef, SmsFiles, parse_uri
from spear.adapters.storage.blobs import FileBlobStore
from spear.adapters.threads import InlineThreads
from spear.errors import InvalidConfiguration, NotFound, Unavailable

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
PATH = f"/api/v1/files/{ID}"
CONTENT = b"\0asm" + bytes(range(256))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Gateway(BaseHTTPRequestHandler):
    """Serves CONTENT where an SMS has its files, and a few answers that go wrong."""

    def do_GET(self) -> None:
        answers = {PATH: self.whole, "/whole?key=1": self.whole, "/early": self.early, "/silent": self.silent}
        status = {"/broken": 500, "/moved": 302}.get(self.path, 404)
        answers.get(self.path, lambda: self.send_error(status))()

    def whole(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def early(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:10])

    def silent(self) -> None:
        self.server.enough.wait(30)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.enough = Event()
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.enough.set()
            server.shutdown()


@pytest.fixture(scope="module")
def gateway():
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A fresh certificate for 127.0.0.1 with its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("https needs the openssl command to make a certificate")
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", pem, "-out", pem.with_suffix(".crt")], check=True, capture_output=True)
    pem.write_text(pem.read_text() + pem.with_suffix(".crt").read_text())
    return pem


@pytest.fixture(scope="module")
def secure(certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(tls) as address:
        yield address


@pytest.fixture
def trusted(secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return secure


class OwnFiles:
    """The files of a process that is the SMS itself, on a real blob store."""

    def __init__(self, root: Path) -> None:
        self.blobs = FileBlobStore(root, InlineThreads())
        self.ids = {ID: self.blobs.put(BytesIO(b"own"), limit=10).sha256}

    @contextmanager
    def open(self, file_id: str) -> Iterator[BinaryIO]:
        with self.blobs.open(self.ids.get(file_id, "0" * 64)) as file:
            yield file


@pytest.fixture
def own(tmp_path):
    return OwnFiles(tmp_path).open


@pytest.mark.parametrize("scheme", ["sms+file", "smsfile", "SMS+File"])
@pytest.mark.parametrize(
    ("rest", "host_port"),
    [(ID, None), (f"/{ID}", None), (f"{ID}/", None), (f"sms:8080/{ID}", "sms:8080"), (f"[::1]:80/{ID}", "[::1]:80")],
)
def test_a_file_uri_names_a_gateway_or_none(scheme, rest, host_port):
    assert parse_uri(f"{scheme}://{rest}") == FileRef(host_port, ID)


@pytest.mark.parametrize("spelling", [ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}"])
def test_an_id_in_any_spelling_becomes_the_one_with_hyphens(spelling):
    assert parse_uri(f"sms+file://{spelling}").file_id == ID


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("", "sms\\+file://<id>"),
        (ID, "sms\\+file://<id>"),
        (f"sms+file:{ID}", "sms\\+file://<id>"),
        (f"file://{ID}", "sms\\+file://<id>"),
        ("sms+file://", "UUID"),
        ("sms+file:///", "UUID"),
        ("sms+file://agent.wasm", "UUID"),
        (f"sms+file://{ID}?x=1", "UUID"),
        (f"sms+file://sms:8080/../{ID}", "UUID"),
        (f"sms+file:////{ID}", "UUID"),
        (f"sms+file://sms/{ID}", "<host>:<port>"),
        (f"sms+file://sms:65536/{ID}", "<host>:<port>"),
        (f"sms+file://me@sms:8080/{ID}", "<host>:<port>"),
        (f"sms+file://sms:80\n/{ID}", "<host>:<port>"),
    ],
)
def test_a_file_uri_that_cannot_be_read_says_what_was_expected(uri, expected):
    with pytest.raises(InvalidConfiguration, match=f"executable uri: got .* expected .*{expected}"):
        parse_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        f"gopher://{ID}",
        f"http://host/{ID}",
        f"file:///{ID}",
        "agent.wasm",
        "https://",
        "https://me@host/",
        "https://a b/",
    ],
)
def test_other_uris_are_refused(uri):
    with pytest.raises(InvalidConfiguration, match="https://"):
        SmsFiles("sms:8080").fetch(uri)


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_bucket_schemes_need_an_endpoint(scheme):
    with pytest.raises(InvalidConfiguration, match="buckets need artifacts.s3_endpoint, which is not set"):
        SmsFiles("sms:8080").fetch(f"{scheme}://bucket/key")


@pytest.mark.parametrize("uri", [f"sms+file://{ID}", f"smsfile:///{ID}", f"sms+file://{ID.upper()}"])
def test_the_short_form_comes_from_the_configured_sms(gateway, uri, no_leaked_files):
    assert SmsFiles(gateway).fetch(uri) == (CONTENT, SHA256)


def test_the_long_form_comes_from_the_gateway_it_names(gateway, own):
    assert SmsFiles("127.0.0.1:1").fetch(f"sms+file://{gateway}/{ID}")[0] == CONTENT
    assert SmsFiles("127.0.0.1:1", local=own, own_addr="127.0.0.1:2").fetch(f"sms+file://{gateway}/{ID}")[0] == CONTENT


def test_a_process_that_is_the_sms_reads_its_own_files(own, no_leaked_files):
    files = SmsFiles("127.0.0.1:1", local=own, own_addr="127.0.0.1:2")
    assert files.fetch(f"sms+file://{ID}")[0] == b"own"
    assert files.fetch(f"sms+file://127.0.0.1:2/{ID}")[0] == b"own"


def test_what_a_linked_process_lacks_comes_from_its_sms(gateway, own):
    def nothing(file_id):
        raise NotFound.noun("file", file_id)

    files = SmsFiles(gateway, local=own, own_addr="127.0.0.1:2")
    assert files.fetch(f"sms+file://{ID}")[0] == b"own"
    assert files.fetch(f"sms+file://{gateway}/{ID}")[0] == CONTENT
    assert SmsFiles(gateway, local=nothing, own_addr="127.0.0.1:2").fetch(f"sms+file://{ID}")[0] == CONTENT
    with pytest.raises(InvalidConfiguration, match=f"{ID} not found"):
        SmsFiles(gateway, local=nothing, own_addr="127.0.0.1:2").fetch(f"sms+file://127.0.0.1:2/{ID}")


def test_the_token_is_shown_to_the_configured_sms_and_to_nobody_else(monkeypatch):
    shown = []
    monkeypatch.setattr(
        HTTPConnection, "request", lambda self, *_, headers={}: shown.append((self.host, headers.get("Authorization")))
    )
    monkeypatch.setattr(HTTPConnection, "getresponse", lambda self: BytesIO())
    for uri in (f"sms+file://{ID}", f"sms+file://sms:1/{ID}", f"sms+file://other:1/{ID}", "https://third:1/x"):
        with suppress(AttributeError):
            SmsFiles("sms:1", token="secret").fetch(uri)
    assert shown == [("sms", "Bearer secret"), ("sms", "Bearer secret"), ("other", None), ("third", None)]


def test_a_missing_file_can_never_run(gateway, own):
    other = ID.replace("0", "1")
    with pytest.raises(InvalidConfiguration, match=f"{other}.*404"):
        SmsFiles(gateway).fetch(f"sms+file://{other}")
    with pytest.raises(InvalidConfiguration, match=f"{other} not found"):
        SmsFiles("", local=own).fetch(f"sms+file://{other}")


def test_without_an_sms_the_short_form_is_refused():
    with pytest.raises(InvalidConfiguration, match="no SMS is configured"):
        SmsFiles("").fetch(f"sms+file://{ID}")


def test_a_right_checksum_is_accepted_in_either_case(gateway):
    files = SmsFiles(gateway)
    assert files.fetch(f"sms+file://{ID}", checksum_sha256=SHA256.upper()) == (CONTENT, SHA256)


def test_a_wrong_checksum_names_both(gateway):
    with pytest.raises(InvalidConfiguration, match=f"{SHA256}, expected {'0' * 64}"):
        SmsFiles(gateway).fetch(f"sms+file://{ID}", checksum_sha256="0" * 64)


def test_content_of_exactly_the_limit_is_fetched_and_one_byte_more_is_not(gateway):
    assert SmsFiles(gateway, max_bytes=len(CONTENT)).fetch(f"sms+file://{ID}")[0] == CONTENT
    with pytest.raises(InvalidConfiguration, match=f"limit of {len(CONTENT) - 1} bytes"):
        SmsFiles(gateway, max_bytes=len(CONTENT) - 1).fetch(f"sms+file://{ID}")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no..such..host:80", f"{'x' * 70}.invalid:80"])
def test_a_gateway_that_cannot_be_reached_is_unavailable(address):
    with pytest.raises(Unavailable, match=address.rpartition(":")[0]):
        SmsFiles("").fetch(f"sms+file://{address}/{ID}")


def test_https_is_a_plain_get(trusted, no_leaked_files):
    assert SmsFiles("").fetch(f"https://{trusted}/whole?key=1#part")[0] == CONTENT


def test_https_checks_the_certificate(secure):
    with pytest.raises(Unavailable, match="certificate"):
        SmsFiles("").fetch(f"https://{secure}/whole?key=1")


def test_a_redirect_is_not_followed(trusted):
    with pytest.raises(InvalidConfiguration, match="302"):
        SmsFiles("").fetch(f"https://{trusted}/moved")


def test_a_server_that_fails_is_unavailable(trusted):
    with pytest.raises(Unavailable, match="500"):
        SmsFiles("").fetch(f"https://{trusted}/broken")


def test_an_answer_that_breaks_off_is_unavailable(trusted):
    with pytest.raises(Unavailable, match=f"{len(CONTENT) - 10} bytes early"):
        SmsFiles("").fetch(f"https://{trusted}/early")


def test_a_server_that_says_nothing_is_unavailable_after_the_timeout(trusted):
    with pytest.raises(Unavailable, match="timed out"):
        SmsFiles("", timeout_s=0.2).fetch(f"https://{trusted}/silent")

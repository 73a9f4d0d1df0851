"""Mutual TLS: with a client CA, who has no certificate that it signed does not get as far as a request."""

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import trustme
import websocket

from tests.rest.conftest import done
from tests.server import Server


class Encrypted(Server):
    """A server over TLS, asked with a client's certificate."""

    def __init__(self, data_dir: Path, *flags: str, ca: Path, shown: Path) -> None:
        super().__init__(data_dir, *flags)
        self.ca, self.shown = str(ca), str(shown)
        self.url = f"https://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request, on a connection of its own."""
        options = {"verify": self.ca, "cert": self.shown, "timeout": 30, **options}
        return requests.request(method, path if path.startswith("https:") else self.url + path, **options)

    def is_ready(self) -> bool:
        """Whether /ready answers 200."""
        try:
            return self.get("/ready").status_code == 200
        except requests.RequestException:
            return False


class Certificates:
    """What a server and its clients show each other; a stranger's is signed by somebody else."""

    def __init__(self, folder: Path) -> None:
        authority, elsewhere = trustme.CA(), trustme.CA()
        self.ca, self.server, self.client, self.stranger = (folder / f"{name}.pem" for name in "abcd")
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(self.server)
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(self.client)
        elsewhere.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(self.stranger)

    def config(self, folder: Path, **paths: Path) -> Path:
        """A configuration file that serves with them."""
        lines = ["[http]", "enable_tls = true", "request_timeout_s = 1"]
        lines += [f'{name} = "{path}"' for name, path in paths.items()]
        (folder / "config.toml").write_text("\n".join(lines))
        return folder / "config.toml"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Encrypted]:
    """A server that asks whoever connects for a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    own = certificates.server
    config = certificates.config(folder, cert_path=own, key_path=own, client_ca_path=certificates.ca)
    server = Encrypted(folder / "data", "--config", str(config), ca=certificates.ca, shown=certificates.client)
    try:
        yield server.start()
    finally:
        server.kill()


def test_a_certificate_that_the_client_ca_signed_opens_rest_and_the_admin(mutual: Encrypted) -> None:
    done(mutual.get("/api/v1/nodes"))
    assert mutual.get(f"https://127.0.0.1:{mutual.admin_port}/admin").status_code == 200


def test_a_websocket_is_encrypted_too_and_both_sides_speak_at_once(mutual: Encrypted) -> None:
    url, shown = f"wss://127.0.0.1:{mutual.port}/api/v1/events/ws", {"ca_certs": mutual.ca, "certfile": mutual.shown}
    with closing(websocket.create_connection(url, timeout=20, sslopt=shown, suppress_origin=True)) as client:
        for number in range(1, 4):
            client.ping()
            found = done(mutual.get("/api/v1/events", params={"after": str(number - 1), "limit": "1"}))["events"]
            assert msgspec.json.decode(client.recv()) == found[0]


@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
def test_no_other_certificate_does(mutual: Encrypted, certificates: Certificates, shown: str) -> None:
    cert = str(certificates.stranger) if shown == "a stranger's" else None
    with pytest.raises((requests.exceptions.SSLError, requests.exceptions.ConnectionError)):
        mutual.get("/health", cert=cert)
    done(mutual.get("/api/v1/nodes"))


def test_who_does_not_come_to_terms_is_left_and_fills_no_log(mutual: Encrypted) -> None:
    with socket.create_connection(("127.0.0.1", mutual.port), timeout=30) as silent:
        assert silent.recv(1) == b""
    with socket.create_connection(("127.0.0.1", mutual.port), timeout=30) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"200" not in b"".join(iter(lambda: plain.recv(65536), b""))
    assert "Traceback" not in mutual.output()
    done(mutual.get("/api/v1/nodes"))


def test_a_client_ca_that_cannot_be_read_is_named_at_the_start(tmp_path: Path, certificates: Certificates) -> None:
    own = certificates.server
    config = certificates.config(tmp_path, cert_path=own, key_path=own, client_ca_path=tmp_path / "none.pem")
    server = Server(tmp_path / "data", "--config", str(config))
    with pytest.raises(AssertionError, match="http.client_ca_path: cannot use .*none.pem: No such file or directory"):
        server.start()

"""A node joins an SMS whose doors all ask for a token: with the token, encrypted, and with a certificate of its own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import requests
import trustme

from spear.adapters.rpc.generated.sms import node_pb2
from tests.closed import Closed
from tests.rpc._wire import Stub
from tests.server import Server, events_of, eventually


class Certificates:
    """One authority, what the SMS and a node show, and a stranger's."""

    def __init__(self, folder: Path) -> None:
        authority, elsewhere = trustme.CA(), trustme.CA()
        self.ca, self.sms, self.node, self.stranger = (
            folder / f"{name}.pem" for name in ("ca", "sms", "node", "other")
        )
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(self.sms)
        authority.issue_cert("node").private_key_and_cert_chain_pem.write_to_path(self.node)
        elsewhere.issue_cert("node").private_key_and_cert_chain_pem.write_to_path(self.stranger)


class Encrypted(Closed):
    """An SMS that asks for tokens and for certificates."""

    ca = ""
    shown = ""

    def call(self, method: str, path: str, **options) -> requests.Response:
        """One request, on a connection of its own."""
        url = f"https://127.0.0.1:{self.port}{path}"
        return requests.request(method, url, verify=self.ca, cert=self.shown, timeout=30, **options)

    def is_ready(self) -> bool:
        """Whether /ready answers 200."""
        try:
            return self.call("GET", "/ready").status_code == 200
        except requests.RequestException:
            return False


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    with Closed(tmp_path_factory.mktemp("closed") / "sms", role="sms") as server:
        server.session.headers["Authorization"] = f"Bearer {server.tokens['operator']}"
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Encrypted]:
    folder = tmp_path_factory.mktemp("mutual")
    own, ca = certificates.sms, certificates.ca
    paths = f'cert_path = "{own}"\nkey_path = "{own}"\nclient_ca_path = "{ca}"\n'
    (folder / "sms.toml").write_text("".join(f"[{door}]\nenable_tls = true\n{paths}" for door in ("http", "grpc")))
    server = Encrypted(folder / "sms", "--config", str(folder / "sms.toml"), role="sms")
    server.ca, server.shown = str(ca), str(certificates.node)
    with server:
        yield server


def joining(folder: Path, sms: Server, *flags: str, **keys: object) -> Server:
    """A SPEARlet that is to join the SMS."""
    lines = {"heartbeat_interval": 1, "sms_connect_retry_ms": 50, "sms_connect_timeout_ms": 5000} | keys
    lines["sms_http_addr"] = f"127.0.0.1:{sms.port}"
    text = "".join(f"{key} = {value if isinstance(value, int) else repr(str(value))}\n" for key, value in lines.items())
    (folder / "node.toml").write_text("[spearlet]\n" + text)
    words = ["--config", str(folder / "node.toml"), "--sms-addr", f"127.0.0.1:{sms.grpc_port}", *flags]
    return Server(folder / "node", *words, role="spearlet")


def with_token(folder: Path, sms: Closed, name: str) -> Path:
    """A file with a new node's token."""
    path = folder / "token"
    path.write_text(sms.issued(name, "node") + "\n")
    return path


def identity(node: Server) -> str:
    return (node.data_dir / "node_uuid").read_text()


def known(sms: Closed, uuid: str) -> bool:
    return sms.as_(sms.tokens["operator"], "GET", f"/api/v1/nodes/{uuid}").status_code == 200


def refused(node: Server) -> str:
    """What a node that does not start says."""
    node.data_dir.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(node.command, capture_output=True, text=True, timeout=60, cwd=node.data_dir.parent)
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.parametrize("flags", [(), ("--auto-register",)])
def test_with_its_token_it_joins_beats_and_runs_what_the_sms_has(tmp_path: Path, sms: Closed, flags) -> None:
    path = with_token(tmp_path, sms, f"joins{len(flags)}")
    task = sms.register("echo")
    with joining(tmp_path, sms, *flags, sms_token_path=path) as node:
        uuid = identity(node)
        eventually(lambda: known(sms, uuid))
        ran = node.run(task, input="hi").json()
        assert (ran["status"], ran["output"]) == ("completed", "hi")
        eventually(lambda: [one for one in events_of(sms, ["Heartbeat"]) if one["data"]["node_uuid"] == uuid][1:])
        actors = {one["actor"] for one in events_of(sms, ["NodeRegistered"], noun="node", ident=uuid)}
        assert actors == {f"grpc:joins{len(flags)}"}
        node.kill()
        node.start()
        assert identity(node) == uuid
        token = path.read_text().strip()
        assert token not in node.output() + sms.output() and token not in " ".join(node.command)


def test_without_a_token_or_with_a_wrong_one_it_does_not_start(tmp_path: Path, sms: Closed) -> None:
    told = refused(joining(tmp_path, sms, "--auto-register"))
    assert "spearlet.auto_register: the SMS at 127.0.0.1" in told and "missing, expected Bearer" in told
    (tmp_path / "token").write_text("spear_wrong")
    told = refused(joining(tmp_path, sms, sms_token_path=tmp_path / "token"))
    assert "spearlet.sms_grpc_addr: the SMS at 127.0.0.1" in told and "unknown or was revoked" in told
    assert "spear_wrong" not in told


def test_the_token_of_another_node_joins_nothing(tmp_path: Path, sms: Closed) -> None:
    token = sms.issued("taken", "node")
    body = {"ip_address": "127.0.0.9", "port": 1}
    assert sms.as_(token, "POST", "/api/v1/nodes", json=body).status_code == 201
    (tmp_path / "token").write_text(token)
    told = refused(joining(tmp_path, sms, "--auto-register", sms_token_path=tmp_path / "token"))
    assert "token 'taken' is bound to node" in told


def test_a_node_that_was_deleted_joins_again_with_a_new_token(tmp_path: Path, sms: Closed) -> None:
    path, admin = with_token(tmp_path, sms, "first"), sms.tokens["admin"]
    with joining(tmp_path, sms, sms_token_path=path) as node:
        uuid = identity(node)
        eventually(lambda: known(sms, uuid))
        node.stop()
        path.write_text(sms.issued("second", "node"))
        assert sms.as_(admin, "DELETE", "/api/v1/tokens/first").ok
        assert sms.as_(admin, "DELETE", f"/api/v1/nodes/{uuid}").ok
        node.start()
        eventually(lambda: known(sms, uuid))
        assert identity(node) == uuid


def test_the_token_comes_from_the_environment_too_and_is_never_shown(tmp_path: Path, sms: Closed, monkeypatch) -> None:
    token = sms.issued("environed", "node")
    monkeypatch.setenv("SPEARLET_SMS_TOKEN", token)
    node = joining(tmp_path, sms, "--auto-register")
    told = subprocess.run([*node.command, "--print-config"], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0 and "# sms token = not shown" in told.stdout and token not in told.stdout
    with node:
        assert known(sms, identity(node))
    assert token not in node.output()


def test_encrypted_and_with_a_certificate_it_joins_and_fetches_files(
    tmp_path: Path, mutual: Encrypted, certificates: Certificates
) -> None:
    path = with_token(tmp_path, mutual, "mutual")
    content = Path(__file__).parents[2].joinpath("samples/build/echo.wasm").read_bytes()
    operator = mutual.tokens["operator"]
    uri = mutual.as_(operator, "POST", "/api/v1/files", data=content, headers={"x-file-name": "e.wasm"}).json()["uri"]
    body = {"name": "echo", "version": "1", "executable": {"type": "wasm", "uri": uri}}
    task = mutual.as_(operator, "POST", "/api/v1/tasks", json=body).json()["task_id"]
    shown = {"sms_ca_path": certificates.ca, "sms_cert_path": certificates.node, "sms_key_path": certificates.node}
    with joining(tmp_path, mutual, "--auto-register", sms_token_path=path, **shown) as node:
        assert known(mutual, identity(node))
        assert node.run(task, input="hi").json()["output"] == "hi"


@pytest.mark.parametrize("shown", ["nothing", "no certificate", "a stranger's"])
def test_with_no_good_certificate_it_does_not_get_as_far_as_a_token(
    tmp_path: Path, mutual: Encrypted, certificates: Certificates, shown: str
) -> None:
    keys: dict[str, object] = {"sms_token_path": with_token(tmp_path, mutual, shown.replace(" ", "-").replace("'", ""))}
    if shown != "nothing":
        keys["sms_ca_path"] = certificates.ca
    if shown == "a stranger's":
        keys |= dict.fromkeys(("sms_cert_path", "sms_key_path"), certificates.stranger)
    told = refused(joining(tmp_path, mutual, sms_connect_timeout_ms=500, **keys))
    assert "spearlet.sms_grpc_addr: no SMS answers" in told


def test_an_sms_that_somebody_else_signed_is_not_trusted(
    tmp_path: Path, mutual: Encrypted, certificates: Certificates
) -> None:
    shown = {"sms_ca_path": certificates.stranger, "sms_connect_timeout_ms": 500}
    assert "no SMS answers" in refused(joining(tmp_path, mutual, **shown))


def test_grpc_with_a_client_ca_answers_who_shows_a_certificate_and_a_token(
    mutual: Encrypted, certificates: Certificates
) -> None:
    pem = certificates.node.read_bytes()
    credentials = grpc.ssl_channel_credentials(certificates.ca.read_bytes(), pem, pem)
    with grpc.secure_channel(f"127.0.0.1:{mutual.grpc_port}", credentials) as channel:
        nodes = Stub(channel, node_pb2, "NodeService", token=mutual.tokens["operator"])
        assert nodes.ListNodes() is not None
    only_trusting = grpc.ssl_channel_credentials(certificates.ca.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{mutual.grpc_port}", only_trusting) as channel:
        nodes = Stub(channel, node_pb2, "NodeService", token=mutual.tokens["operator"])
        with pytest.raises(grpc.RpcError) as caught:
            nodes.ListNodes(timeout=5)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("key", ["sms_ca_path", "sms_token_path"])
def test_a_file_that_cannot_be_read_is_named_at_the_start(tmp_path: Path, sms: Closed, key: str) -> None:
    told = refused(joining(tmp_path, sms, **{key: tmp_path / "none"}))
    assert f"spearlet.{key}: cannot " in told and str(tmp_path / "none") in told


def test_a_standby_follows_with_an_operators_token_and_lets_a_revoked_one_go(
    tmp_path: Path, sms: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMS_FOLLOW_KEY", sms.bus_key)
    standby = Server(tmp_path / "standby", "--follow", f"tcp://127.0.0.1:{sms.bus_port}", role="sms")
    assert "follow: a new standby needs its SMS: authorization: missing" in refused(standby)
    admin, reader = sms.tokens["admin"], sms.issued("reader", "operator")
    (tmp_path / "token").write_text(sms.issued("standby", "operator"))
    monkeypatch.setenv("SMS_FOLLOW_TOKEN_PATH", str(tmp_path / "token"))
    with standby:
        headers = {"Authorization": f"Bearer {reader}", "Accept": "text/event-stream"}
        with requests.get(f"{standby.url}/api/v1/events", headers=headers, stream=True, timeout=30) as stream:
            assert sms.as_(admin, "DELETE", "/api/v1/tokens/reader").ok
            *_, last = (line for line in stream.iter_lines(chunk_size=1) if line)
        assert b"UNAUTHENTICATED" in last
        assert sms.as_(admin, "DELETE", "/api/v1/tokens/standby").ok
        eventually(lambda: "was revoked; this standby answers reads" in standby.output())
        assert standby.get("/api/v1/nodes").status_code == 200

"""Executables in buckets, against an S3 server in a process of its own that checks who asks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import pytest
import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as ClientConfig
from botocore.credentials import Credentials

from spear.adapters.storage.artifacts import SmsFiles
from spear.adapters.storage.buckets import Buckets, path_of, signed
from spear.config import AwsKeys
from spear.errors import InvalidConfiguration, Unavailable
from tests.server import SAMPLES, Server, eventually, free_port

pytest.importorskip("moto", reason="moto is not installed")
KEY = "agents/v1 (a+b)~ü/hello.wasm"
EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
SETUP_CALLS = 5  # what is asked before keys exist; from then on every request must be signed
HELLO = (SAMPLES / "hello.wasm").read_bytes()


@dataclass(frozen=True)
class Store:
    """A running S3 server and the keys that it accepts."""

    endpoint: str
    keys: AwsKeys

    def fetch(self, uri: str, *, keys: AwsKeys | None = None, **limits: int) -> bytes:
        files = SmsFiles("127.0.0.1:1", bucket_store=Buckets(self.endpoint, keys or self.keys), **limits)
        return files.fetch(uri)[0]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(SETUP_CALLS)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(port), within_s=60)
        yield filled(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/moto-api/", timeout=2).ok
    except requests.RequestException:
        return False


def filled(endpoint: str) -> Store:
    """The server with one user, and with the hello agent in a bucket."""
    session = botocore.session.Session(include_builtin_handlers=True)
    session.set_credentials("nobody", "nothing")
    options = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    iam = session.create_client("iam", **options)
    iam.create_user(UserName="spear")
    iam.put_user_policy(UserName="spear", PolicyName="all", PolicyDocument=EVERYTHING)
    made = iam.create_access_key(UserName="spear")["AccessKey"]
    s3 = session.create_client("s3", **options, config=ClientConfig(s3={"addressing_style": "path"}))
    s3.create_bucket(Bucket="agents")
    s3.put_object(Bucket="agents", Key=KEY, Body=HELLO)
    return Store(endpoint, AwsKeys(made["AccessKeyId"], made["SecretAccessKey"]))


@pytest.mark.parametrize("scheme", ["s3", "minio", "S3"])
def test_an_object_is_read_as_whom_the_keys_say(store, scheme):
    assert store.fetch(f"{scheme}://agents/{KEY}") == HELLO


@pytest.mark.parametrize("wrong", ["secret", "user", "anonymous"])
def test_whoever_is_not_let_in_hears_403_and_no_secret(store, wrong):
    keys = {
        "secret": AwsKeys(store.keys.access_key_id, "not-the-secret"),
        "user": AwsKeys("AKIAIOSFODNN7EXAMPLE", "not-the-secret"),
        "anonymous": AwsKeys(),
    }[wrong]
    with pytest.raises(InvalidConfiguration, match="answered 403, expected 200") as refused:
        store.fetch(f"s3://agents/{KEY}", keys=keys)
    assert "not-the-secret" not in refused.value.message


@pytest.mark.parametrize("uri", ["s3://agents/absent", "s3://no-such-bucket/x"])
def test_what_is_not_there_can_never_run(store, uri):
    with pytest.raises(InvalidConfiguration, match=r"answered 40[34], expected 200"):
        store.fetch(uri)


def test_an_object_over_the_limit_is_refused(store):
    with pytest.raises(InvalidConfiguration, match="larger than the limit of 10 bytes"):
        store.fetch(f"s3://agents/{KEY}", max_bytes=10)


def test_a_store_that_is_away_is_unavailable(store):
    with pytest.raises(Unavailable, match="nothing usable from 127.0.0.1"):
        Store(f"http://127.0.0.1:{free_port()}", store.keys).fetch(f"s3://agents/{KEY}")


@pytest.mark.parametrize("uri", ["s3://agents", "s3://agents/", "s3:///key", "s3://Up/key", "s3://a/key", "s3://a b/k"])
def test_what_names_no_object_is_refused_before_anybody_is_asked(store, uri):
    with pytest.raises(InvalidConfiguration, match="expected s3://<bucket>/<key> or minio://<bucket>/<key>"):
        store.fetch(uri)


@pytest.mark.parametrize("token", ["", "a-session"])
@pytest.mark.parametrize("key", [KEY, "plain", "a//b", "%41?x=1#y", "☃"])
def test_a_signature_is_that_of_the_reference_implementation(key, token, monkeypatch):
    path, at = path_of(f"s3://bucket/{key}"), 1_700_000_000.0
    keys = AwsKeys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG", token, "eu-central-1")
    asked = AWSRequest("GET", f"http://127.0.0.1:9000{path}")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: datetime.fromtimestamp(at, UTC))
    S3SigV4Auth(Credentials(keys.access_key_id, keys.secret_access_key, token or None), "s3", keys.region).add_auth(
        asked
    )
    ours = {name.lower(): text for name, text in signed("GET", "127.0.0.1:9000", path, keys=keys, at=at).items()}
    assert ours["authorization"] == asked.headers["Authorization"]


def test_an_agent_in_a_bucket_runs(store, tmp_path: Path, monkeypatch):
    for name in ("AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.keys.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.keys.secret_access_key)
    monkeypatch.setenv("SMS_ARTIFACTS_S3_ENDPOINT", store.endpoint)
    with Server(tmp_path / "data") as server:
        executable = {"type": "wasm", "uri": f"s3://agents/{KEY}"}
        task = server.post("/api/v1/tasks", json={"name": "h", "version": "1", "executable": executable}).json()
        ran = server.run(task["task_id"]).json()
        assert ran["status"] == "completed"
        assert "hello" in ran["output"].lower()
        kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
        assert store.keys.secret_access_key.encode() not in kept + server.output().encode()

"""Backends that speak OpenAI's chat completions, asked directly; which of a configuration can be asked at all."""

import logging
import ssl
from contextlib import ExitStack, closing

import msgspec
import pytest
import trustme

from spear.adapters.models.openai import OpenAi
from spear.config import load
from spear.models import ChatRequest
from spear.roles.models import models_for
from tests.crash._support import SteadyClock
from tests.model_server import KEY, model_server

HI = ChatRequest((msgspec.Raw(b'{"role":"user","content":"hi"}'),), model="m")


def asked(url, *, api_key=""):
    with closing(OpenAi(url, api_key=api_key)) as backend:
        return backend.chat(HI, timeout_s=20)


@pytest.fixture(scope="module")
def models():
    with model_server() as running:
        yield running


@pytest.mark.parametrize(
    ("tail", "path"),
    [("/v1", "/v1/"), ("/v1/", "/v1/"), ("", "/v1/"), ("/", "/v1/"), ("/v1beta/openai", "/v1beta/openai/")],
)
def test_the_path_has_a_version_also_where_the_url_has_none(models, tail, path):
    models.paths.clear()
    answer = asked(models.url("good").removesuffix("/v1") + tail)
    assert (answer.code, models.paths) == ("", [f"/good{path}chat/completions"])


def test_connections_are_kept_between_questions_and_not_after_a_broken_one(models):
    models.clients.clear()
    with closing(OpenAi(models.url("good"))) as good, closing(OpenAi(models.url("huge"))) as huge:
        for _ in range(3):
            assert good.chat(HI, timeout_s=20).code == ""
        assert len(set(models.clients)) == 1
        for _ in range(2):
            assert huge.chat(HI, timeout_s=20).code == "invalid_response"
        assert len(set(models.clients)) == 3


@pytest.mark.parametrize(
    ("said", "usage"),
    [(b'{"usage":{"prompt_tokens":4}}', (4, 0, 0)), (b'{"usage":{"prompt_tokens":"x"}}', None), (b"[]", None)],
)
def test_tokens_count_where_the_backend_told_them(models, said, usage):
    models.script = lambda _: said
    found = asked(models.url("script")).usage
    assert (found and (found.prompt_tokens, found.completion_tokens, found.total_tokens)) == usage


@pytest.mark.parametrize("said", [b"", b"nope", b'{"a":1} x', b'"\xff"', b"[" * 100_000, b'{"a":NaN}'])
def test_what_is_no_json_is_no_answer(models, said):
    models.script = lambda _: said
    assert asked(models.url("script")).code == "invalid_response"


def test_a_certificate_that_nobody_vouches_for_is_no_connection(monkeypatch, tmp_path):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with model_server(context) as models:
        answer = asked(models.url("good"), api_key=KEY)
        assert (answer.code, answer.begun, len(models.asked["good"])) == ("network_error", False, 0)
        assert "certificate verify failed" in answer.message
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert asked(models.url("good"), api_key=KEY).code == ""


def configured(tmp_path, *, url="https://models.test/v1", key="k"):
    """The models of a configuration with one backend that needs a key, and what the log said of it."""
    file = tmp_path / "config.toml"
    file.write_text(
        '[[spearlet.llm.credentials]]\nname = "c"\napi_key_env = "K"\n[[spearlet.llm.backends]]\nname = "b"\n'
        f'kind = "openai_chat_completion"\nbase_url = "{url}"\nhosting = "remote"\ncredential_ref = "c"\n'
    )
    config = load(["-c", str(file)], environ={"K": key}, home=tmp_path)
    with ExitStack() as stack:
        return models_for(config, None, clock=SteadyClock(), stack=stack)


@pytest.mark.parametrize(
    ("key", "reason"),
    [("", "missing env K"), ("a b", "env K holds no key: expected printable ASCII"), ("sk-\r\nX: y", "env K holds no")],
)
def test_a_backend_without_a_good_key_is_unavailable_and_the_key_is_not_told(tmp_path, caplog, key, reason):
    (described,) = configured(tmp_path, key=key).described()
    assert described["status"] == "unavailable" and described["status_reason"].startswith(reason)
    assert reason in caplog.text and (not key or key not in caplog.text)


@pytest.mark.parametrize(
    ("url", "warns"),
    [("http://models.test/v1", True), ("https://models.test/v1", False), ("http://127.0.0.1:1/v1", False)],
)
def test_a_key_that_would_cross_the_network_in_the_clear_is_warned_of(tmp_path, caplog, url, warns):
    caplog.set_level(logging.WARNING)
    (described,) = configured(tmp_path, url=url).described()
    assert described["status"] == "available"
    assert ("crosses the network unencrypted" in caplog.text) == warns

"""Backends that speak OpenAI's chat completions over HTTP."""

import ssl
from contextlib import closing
from typing import Any, TypeVar

import gevent
import msgspec
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError

from spear import __version__
from spear.models import (
    INVALID_RESPONSE,
    NETWORK_ERROR,
    TIMEOUT,
    UPSTREAM_ERROR,
    ChatAnswer,
    ChatRequest,
    Usage,
)

T = TypeVar("T")
_CONNECT_S = 5.0
_PIECE = 64 * 1024
_LONGEST_ERROR = 64 * 1024
_LONGEST_TEXT = 500
_NOT_BEGUN = (429, 503)


class OpenAi:
    """One backend at `base_url`, which is shown `api_key` and nobody else is.

    Connections are kept; what is answered is never followed elsewhere, and never unpacked.
    """

    def __init__(self, base_url: str, *, api_key: str = "") -> None:
        base = base_url.rstrip("/")
        self._url = f"{base}/chat/completions" if "/v1" in base else f"{base}/v1/chat/completions"
        self._key = api_key
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"spear/{__version__}",
        } | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        trust = ssl.create_default_context() if base.lower().startswith("https:") else None
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=64, retries=False, ssl_context=trust)

    def chat(self, request: ChatRequest, *, timeout_s: float) -> ChatAnswer:
        """Ask for the continuation, within `timeout_s` from the first connection to the last byte."""
        limit = gevent.Timeout(timeout_s)
        try:
            with limit:
                return self._ask(_encoded(request), request.key, request.most_bytes)
        except gevent.Timeout as timeout:
            if timeout is not limit:
                raise
            return ChatAnswer(code=TIMEOUT, message=f"no answer within {timeout_s * 1000:.0f} ms")
        except (HTTPError, OSError) as error:
            cause = _cause(error)
            begun = not isinstance(error, ConnectTimeoutError) and not isinstance(cause, ssl.SSLCertVerificationError)
            text = str(getattr(cause, "strerror", None) or cause)[:_LONGEST_TEXT]
            what = "the connection broke" if begun else "no connection"
            return ChatAnswer(code=NETWORK_ERROR, message=f"{what}: {text}", begun=begun)

    def close(self) -> None:
        """Close the connections that wait for a next question; may be called twice."""
        self._pool.clear()

    def _ask(self, body: bytes, key: str, most_bytes: int) -> ChatAnswer:
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=None)  # how long it may think is the whole call's limit
        response = self._pool.request(
            "POST", self._url, body=body, headers=headers, timeout=timeout, redirect=False, preload_content=False
        )
        good = response.status == 200
        with closing(response):  # with its connection, unless that went back whole
            content = _read(response, most_bytes if good else _LONGEST_ERROR)
        if not good:
            return self._failure(response.status, content)
        if len(content) > most_bytes:
            return ChatAnswer(code=INVALID_RESPONSE, message=f"an answer of more than {most_bytes} bytes")
        return _answer(content)

    def _failure(self, status: int, content: bytes) -> ChatAnswer:
        said = ": ".join([f"upstream status: {status}", *_complaint(content)])
        if self._key:
            said = said.replace(self._key, "***")
        return ChatAnswer(code=UPSTREAM_ERROR, message=said[:_LONGEST_TEXT], begun=status not in _NOT_BEGUN)


def _encoded(request: ChatRequest) -> bytes:
    tools = {"tools": request.tools} if request.tools else {}
    return msgspec.json.encode({**request.params, "model": request.model, "messages": request.messages, **tools})


def _read(response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The content, or more than `most` bytes of it."""
    content = bytearray()
    for piece in response.stream(_PIECE, decode_content=False):
        content += piece
        if len(content) > most:
            break
    return bytes(content)


def _answer(content: bytes) -> ChatAnswer:
    try:
        content.decode()
        msgspec.json.decode(content, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return ChatAnswer(code=INVALID_RESPONSE, message="an answer that is no JSON")
    return ChatAnswer(body=content, usage=_told(content, "usage", Usage), model=_told(content, "model", str) or "")


def _told(content: bytes, name: str, kind: type[T]) -> T | None:
    """A field of the answer, if there is one of that type."""
    try:
        return msgspec.json.decode(msgspec.json.decode(content, type=dict[str, msgspec.Raw])[name], type=kind)
    except (msgspec.ValidationError, KeyError):
        return None


def _complaint(content: bytes) -> list[str]:
    """Type, code and message of the error that an upstream told, as far as it told them."""
    try:
        told: Any = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return []
    error = told.get("error", told) if isinstance(told, dict) else told
    if isinstance(error, str):
        return [error]
    parts = [error.get(name) for name in ("type", "code", "message")] if isinstance(error, dict) else []
    return [str(part) for part in parts if isinstance(part, str | int) and part != ""]


def _cause(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error

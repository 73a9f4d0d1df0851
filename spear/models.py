"""What the inside needs from model backends: one question, one answer, no decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Raw

NO_CANDIDATE = "no_candidate_backend"
INVALID_REQUEST = "invalid_request"
BUSY = "busy"
TIMEOUT = "timeout"
CANCELLED = "cancelled"
NETWORK_ERROR = "network_error"
UPSTREAM_ERROR = "upstream_error"
INVALID_RESPONSE = "invalid_response"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation that a model shall continue; values that only backends understand are JSON as it was given.

    `backend` names the only one that may answer, `most_bytes` is what the answer may have, `key` is the same however often
    this is asked.
    """

    messages: tuple[Raw, ...]
    tools: tuple[Raw, ...] = ()
    params: Mapping[str, Raw] = field(default_factory=dict)
    model: str = ""
    backend: str = ""
    features: frozenset[str] = frozenset()
    timeout_s: float | None = None
    most_bytes: int = 8 * 1024 * 1024
    key: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens went in and came out, as the backend counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
        )


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What came of it: `body`, which is JSON, or a `code` and a `message` that say why there is none.

    `begun` tells whether the backend may have worked on it; if not, another one may be asked.
    """

    body: bytes = b""
    code: str = ""
    message: str = ""
    begun: bool = True
    usage: Usage | None = None
    backend: str = ""
    model: str = ""


class ModelBackend(Protocol):
    """One backend, asked by its own protocol."""

    def chat(self, request: ChatRequest, *, timeout_s: float) -> ChatAnswer:
        """Ask `request.model` for the continuation; blocks this caller only, never raises for what the backend does or does not do."""
        ...

    def close(self) -> None:
        """Release what it holds; may be called twice."""
        ...

"""The model backends of this node, asked on behalf of runs: who may answer is asked, and every call is a fact."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from spear.config import CHAT, LlmBackend
from spear.domain.backend import Backend, BackendStatus, Hosting
from spear.domain.base import named
from spear.domain.execution import ModelCalled
from spear.events.log import EventLog
from spear.models import (
    BUSY,
    CANCELLED,
    INVALID_REQUEST,
    NO_CANDIDATE,
    TIMEOUT,
    ChatAnswer,
    ChatRequest,
    ModelBackend,
    Usage,
)
from spear.ports import Clock, RunSpec
from spear.scheduling.backends import NoCandidate, Wanted, ordered
from spear.services.guests import origin_of

LONGEST_S = 600.0  # that a backend may take when nobody said how long, and the run has longer
COMPLETED = "completed"
_NONE = Usage()
_PROVIDERS = {"openai_": "openai", "ollama_": "ollama", "stub": "internal"}


class Models:
    """What this node can ask; `out` says why which backends cannot be asked, `clients` are the others."""

    def __init__(
        self,
        log: EventLog,
        backends: Sequence[LlmBackend],
        clients: Mapping[str, ModelBackend],
        *,
        out: Mapping[str, str],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self.backends, self.out = backends, out
        self._log, self._clients, self._clock, self._chance = log, clients, clock, chance
        self._running: Counter[str] = Counter()

    def described(self) -> list[Backend]:
        """What a directory of backends is told of them."""
        return [_described(backend, self.out.get(backend.name, "")) for backend in self.backends]

    def chat(self, by: RunSpec, request: ChatRequest) -> ChatAnswer:
        """What the first backend said that took the request on; one that did not is not asked again.

        Raises `Unavailable` when a call cannot be recorded.
        """
        if not request.messages:
            return ChatAnswer(code=INVALID_REQUEST, message="Invalid request: missing messages")
        wanted = Wanted(CHAT, request.features, backend=request.backend, model=request.model)
        try:
            candidates = ordered(self.backends, wanted, out=self.out, chance=self._chance)
        except NoCandidate as error:
            return ChatAnswer(code=NO_CANDIDATE, message=f"Operation not supported: {error}")
        return self._first(by, replace(request, key=str(_key(by, request))), candidates)

    def _first(self, by: RunSpec, request: ChatRequest, candidates: Sequence[LlmBackend]) -> ChatAnswer:
        until_us = self._clock.now_us() + int(1_000_000 * min(LONGEST_S, request.timeout_s or LONGEST_S))
        answer = ChatAnswer()
        for backend in candidates:
            left_s = (until_us - self._clock.now_us()) / 1_000_000
            answer = self._told(by, backend, request, left_s)
            if answer.begun:
                break
        return answer

    def _told(self, by: RunSpec, backend: LlmBackend, request: ChatRequest, left_s: float) -> ChatAnswer:
        model = request.model or backend.model
        if not model:
            return ChatAnswer(code=INVALID_REQUEST, message="Invalid request: missing model", begun=False)
        if left_s <= 0:
            return ChatAnswer(code=TIMEOUT, message=f"Runtime error: no time is left for backend {backend.name}")
        if self._running[backend.name] >= backend.max_concurrent:
            text = f"Runtime error: {backend.max_concurrent} calls run already (backend {backend.name})"
            return ChatAnswer(code=BUSY, message=text, begun=False)
        answer = self._ask(by, backend, replace(request, model=model), left_s)
        text = f"Runtime error: {answer.message} (backend {backend.name})" if answer.code else ""
        return replace(answer, message=text, backend=backend.name, model=request.model or answer.model or model)

    def _ask(self, by: RunSpec, backend: LlmBackend, request: ChatRequest, timeout_s: float) -> ChatAnswer:
        began_us = self._clock.now_us()
        answer = ChatAnswer(code=CANCELLED)  # what stands if the run is stopped meanwhile
        self._running[backend.name] += 1
        try:
            answer = self._clients[backend.name].chat(request, timeout_s=timeout_s)
        finally:
            self._running[backend.name] -= 1
            self._record(by, backend, request.model, answer, self._clock.now_us() - began_us)
        return answer

    def _record(self, by: RunSpec, backend: LlmBackend, model: str, answer: ChatAnswer, duration_us: int) -> None:
        usage = answer.usage or _NONE
        called = ModelCalled.by(
            by.execution_id,
            task_id=by.task_id,
            backend=backend.name,
            model=model,
            outcome=answer.code or COMPLETED,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            duration_us=duration_us,
        )
        self._log.commit([called], origin_of(by))


def _key(by: RunSpec, request: ChatRequest) -> UUID:
    """The same for every attempt, also by another backend, and for no other request."""
    return named("model_call", f"{by.execution_id}/{request.key}")


def _described(backend: LlmBackend, reason: str) -> Backend:
    return {
        "name": backend.name,
        "kind": backend.kind,
        "operations": list(backend.ops),
        "features": list(backend.features),
        "transports": list(backend.transports),
        "weight": backend.weight,
        "priority": backend.priority,
        "base_url": backend.base_url,
        "status": (BackendStatus.UNAVAILABLE if reason else BackendStatus.AVAILABLE).value,
        "status_reason": reason,
        "provider": next((name for start, name in _PROVIDERS.items() if backend.kind.startswith(start)), "unknown"),
        "model": backend.model,
        "hosting": Hosting(backend.hosting).value,
    }

"""Which model backends may answer a request, in which order: a function of what is configured, and of chance."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from spear.config import LlmBackend


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks of a backend; "" leaves it open."""

    operation: str
    features: frozenset[str] = frozenset()
    transport: str = "http"
    backend: str = ""
    model: str = ""


class NoCandidate(Exception):
    """No backend may answer; the text says what was wanted, and what there is."""


def ordered(
    backends: Sequence[LlmBackend], wanted: Wanted, *, out: Mapping[str, str], chance: Callable[[], float]
) -> list[LlmBackend]:
    """Who may answer, the one to ask first before the others; raises `NoCandidate`.

    Of the highest priority first, and among these by a draw in which weights count. `out` says why which cannot answer now;
    `chance` is from 0 to below 1. Where any who could answer is bound to a model, a model means only those bound to it.
    """
    able = [backend for backend in backends if _serves(backend, wanted)]
    fits = _bound([backend for backend in able if backend.name not in out], wanted.model)
    if not fits:
        raise NoCandidate(_why_not(wanted, backends, {one.name: out[one.name] for one in able if one.name in out}))
    return sorted(fits, key=lambda one: (-one.priority, -log(1.0 - chance()) / max(1, one.weight)))


def _serves(backend: LlmBackend, wanted: Wanted) -> bool:
    return (
        wanted.operation in backend.ops
        and wanted.features <= set(backend.features)
        and wanted.transport in backend.transports
        and wanted.backend in ("", backend.name)
    )


def _bound(fits: list[LlmBackend], model: str) -> list[LlmBackend]:
    models = sorted({backend.model for backend in fits if backend.model})
    if not model or not models:
        return fits
    if model not in models:
        raise NoCandidate(f"no candidate backend for model={_told(model)}: available_models={_told(models)}")
    return [backend for backend in fits if backend.model == model]


def _why_not(wanted: Wanted, backends: Sequence[LlmBackend], out: Mapping[str, str]) -> str:
    because = "".join(f"; {name} is unavailable: {reason}" for name, reason in out.items())
    return (
        f"no candidate backend: op={wanted.operation} required_features={_told(sorted(wanted.features))}"
        f" required_transports={_told([wanted.transport])} routing_backend={wanted.backend or None}"
        f" backends={_told([backend.name for backend in backends])}{because}"
    )


def _told(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Which model backends a process can ask: those of its configuration that have what they need."""

import logging
import re
from contextlib import ExitStack
from random import random
from urllib.parse import urlsplit

from spear.adapters.models.openai import OpenAi
from spear.config import Address, Config, LlmBackend
from spear.events.log import EventLog
from spear.models import ModelBackend
from spear.ports import Clock
from spear.services.models import Models

log = logging.getLogger(__name__)
KINDS = {"openai_chat_completion": OpenAi}
_KEY = re.compile(r"[!-~]{1,4096}")


def models_for(config: Config, events: EventLog, *, clock: Clock, stack: ExitStack) -> Models:
    """The backends of the configuration; `stack` closes them. The server's log says why one cannot be asked."""
    clients: dict[str, ModelBackend] = {}
    out: dict[str, str] = {}
    for backend in config.llm.backends:
        reason = _why_not(config, backend)
        if reason:
            log.warning("model backend %s is unavailable: %s", backend.name, reason)
            out[backend.name] = reason
        else:
            key = config.llm.keys.get(backend.credential_ref, "")
            clients[backend.name] = client = KINDS[backend.kind](backend.base_url, api_key=key)
            stack.callback(client.close)
    return Models(events, config.llm.backends, clients, out=out, clock=clock, chance=random)


def _why_not(config: Config, backend: LlmBackend) -> str:
    if backend.kind not in KINDS:
        return f"kind {backend.kind} is not served, only {', '.join(KINDS)}"
    variable = config.llm.variable(backend)
    if not variable:
        return ""
    key = config.llm.keys[backend.credential_ref]
    if not key:
        return f"missing env {variable}"
    if not _KEY.fullmatch(key):
        return f"env {variable} holds no key: expected printable ASCII without spaces"
    _warn_of_an_open_wire(backend)
    return ""


def _warn_of_an_open_wire(backend: LlmBackend) -> None:
    parts = urlsplit(backend.base_url)
    if parts.scheme == "http" and not Address(parts.hostname or "", 0).loopback:
        log.warning("the key of model backend %s crosses the network unencrypted; use https", backend.name)

"""Which backend answers, who is asked next when one did not begin, and what is recorded of it."""

from collections import Counter
from dataclasses import replace
from random import Random
from types import MappingProxyType
from uuid import UUID, uuid4

import msgspec
import pytest
from greenlet import GreenletExit

from spear.config import LlmBackend
from spear.domain.node import observations
from spear.errors import Unavailable
from spear.events.mapper import payload
from spear.models import ChatAnswer, ChatRequest, Usage
from spear.ports import RunSpec
from spear.scheduling.backends import NoCandidate, Wanted, ordered
from spear.services.models import LONGEST_S, Models
from tests.crash._support import SteadyClock, store

CHAT = "chat_completions"
GOOD = ChatAnswer(b"{}", usage=Usage(1, 2, 3), model="said")
AWAY = ChatAnswer(code="network_error", message="no connection", begun=False)
LOST = ChatAnswer(code="network_error", message="it broke")
HI = ChatRequest((msgspec.Raw(b'{"role":"user","content":"hi"}'),), model="m")


def backend(name, **more):
    return LlmBackend(name, "openai_chat_completion", "http://localhost/v1", "local", **more)


def names(*backends, out=MappingProxyType({}), chance=lambda: 0.5, **wanted):
    return [one.name for one in ordered(backends, Wanted(**{"operation": CHAT, **wanted}), out=out, chance=chance)]


def why_not(*backends, **more):
    with pytest.raises(NoCandidate) as caught:
        names(*backends, **more)
    return str(caught.value)


def test_only_who_does_what_is_asked_for_may_answer():
    able = backend("able", ops=(CHAT, "embeddings"), features=("a", "b"))
    others = backend("no-op", ops=("embeddings",)), backend("plain"), backend("ws", transports=("websocket",))
    assert names(able, *others, features=frozenset("ab")) == ["able"]
    assert set(names(able, *others)) == {"able", "plain"}
    assert names(able, *others, backend="plain") == ["plain"]


def test_a_model_means_only_those_bound_to_it_where_any_is_bound():
    bound, other, free = backend("bound", model="m"), backend("other", model="n"), backend("free")
    assert names(bound, other, free, model="m") == ["bound"]
    assert names(free, model="m") == ["free"]
    assert why_not(bound, other, free, model="x") == ('no candidate backend for model="x": available_models=["m", "n"]')


def test_no_candidate_says_what_was_wanted_and_what_there_is():
    said = why_not(backend("a"), backend("b"), out={"a": "missing env K"}, backend="a", features=frozenset())
    assert said == (
        'no candidate backend: op=chat_completions required_features=[] required_transports=["http"]'
        ' routing_backend=a backends=["a", "b"]; a is unavailable: missing env K'
    )
    assert why_not().endswith("backends=[]")


def test_a_higher_priority_is_asked_first_whatever_the_weights_say():
    heavy, first = backend("heavy", weight=10_000), backend("first", priority=1, weight=0)
    assert names(heavy, first) == ["first", "heavy"]


def test_weights_are_shares():
    random = Random(1)
    one, three = backend("one", weight=100), backend("three", weight=300)
    drawn = Counter(names(one, three, chance=random.random)[0] for _ in range(4000))
    assert 0.72 < drawn["three"] / 4000 < 0.78


class Scripted:
    """A backend that answers one thing after another; a function is called."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def chat(self, request, *, timeout_s):
        self.asked.append((request, timeout_s))
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer

    def close(self):
        """Nothing is held."""


@pytest.fixture
def log(tmp_path):
    with store(tmp_path) as opened:
        yield opened.log


@pytest.fixture
def by():
    return RunSpec(str(uuid4()), task_id="t", correlation="c")


def models(log, **clients):
    """Those who are asked in this order, each with one call at a time."""
    backends = [backend(name, priority=-at, max_concurrent=1) for at, name in enumerate(clients)]
    return Models(log, backends, clients, out={}, clock=SteadyClock(), chance=lambda: 0.5)


def recorded(log, by):
    facts = list(log.stream(str(observations(UUID(by.execution_id)))))
    assert {(fact.actor, fact.correlation) for fact in facts} <= {(f"execution:{by.execution_id}", "c")}
    return [payload(fact) for fact in facts]


def test_a_call_is_recorded_with_its_tokens_before_anybody_hears_the_answer(log, by):
    answer = models(log, a=Scripted(GOOD)).chat(by, HI)
    assert (answer.body, answer.backend, answer.model, answer.message) == (b"{}", "a", "m", "")
    (call,) = recorded(log, by)
    assert (call.task_id, call.backend, call.model, call.outcome) == ("t", "a", "m", "completed")
    assert (call.prompt_tokens, call.completion_tokens, call.total_tokens, call.duration_us) == (1, 2, 3, 1000)


def test_the_next_is_asked_when_one_did_not_begin_with_the_same_key(log, by):
    away, good, never = Scripted(AWAY), Scripted(GOOD), Scripted()
    assert models(log, away=away, good=good, never=never).chat(by, HI).backend == "good"
    assert [call.outcome for call in recorded(log, by)] == ["network_error", "completed"]
    (first, first_s), (second, second_s) = away.asked[0], good.asked[0]
    assert first.key == second.key and len(first.key) == 36 and second_s < first_s <= LONGEST_S


def test_nobody_else_is_asked_when_one_may_have_begun(log, by):
    answer = models(log, lost=Scripted(LOST), never=Scripted()).chat(by, HI)
    assert (answer.code, answer.message) == ("network_error", "Runtime error: it broke (backend lost)")


def test_the_last_who_did_not_begin_says_why(log, by):
    assert models(log, a=Scripted(AWAY), b=Scripted(AWAY)).chat(by, HI).message.endswith("(backend b)")


def test_keys_differ_between_requests_and_between_runs(log, by):
    asked = Scripted(GOOD, GOOD, GOOD)
    made = models(log, a=asked)
    for who, key in ((by, "1"), (by, "2"), (RunSpec(str(uuid4())), "1")):
        made.chat(who, replace(HI, key=key))
    assert len({request.key for request, _ in asked.asked}) == 3


def test_time_runs_over_all_who_are_asked(log, by):
    first = Scripted(AWAY)
    answer = models(log, a=first, b=Scripted()).chat(by, replace(HI, timeout_s=0.002))
    assert (answer.code, first.asked[0][1] <= 0.002) == ("timeout", True)


def test_one_that_is_busy_is_passed_over(log, by):
    inner = []
    busy = Scripted(lambda: inner.append(made.chat(by, HI)) or GOOD)
    made = models(log, busy=busy, free=Scripted(GOOD))
    assert (made.chat(by, HI).backend, inner[0].backend) == ("busy", "free")
    busy.answers = [lambda: inner.append(made.chat(by, replace(HI, backend="busy"))) or GOOD]
    made.chat(by, HI)
    assert (inner[1].code, len(busy.asked)) == ("busy", 2)


def test_a_run_that_stops_meanwhile_leaves_a_fact_and_no_place_taken(log, by):
    def stop():
        raise GreenletExit

    made = models(log, a=Scripted(stop, GOOD))
    with pytest.raises(GreenletExit):
        made.chat(by, HI)
    assert made.chat(by, HI).code == ""
    assert [call.outcome for call in recorded(log, by)] == ["cancelled", "completed"]


def test_an_answer_that_cannot_be_recorded_is_none(by):
    class Full:
        def commit(self, events, origin):
            raise Unavailable("the disk is full")

    with pytest.raises(Unavailable):
        models(Full(), a=Scripted(GOOD)).chat(by, HI)


def test_a_request_without_messages_or_model_is_refused_and_asks_nobody(log, by):
    made = models(log, a=Scripted())
    assert made.chat(by, replace(HI, messages=())).message == "Invalid request: missing messages"
    assert made.chat(by, replace(HI, model="")).message == "Invalid request: missing model"
    assert recorded(log, by) == []

"""Agents and models: a guest's conversation goes to a real server, and every way in which that can fail comes back."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.model_server import KEY, USAGE, completion, model_server
from tests.server import Server, events_of, eventually, free_port

KINDS = ["good", "script", "chunked", "busy", "broken", "garbage", "list", "huge", "half", "elsewhere", "silent"]


def table(name, url, **more):
    """One backend as TOML."""
    fields = {"name": name, "kind": "openai_chat_completion", "base_url": url, "hosting": "local", **more}
    return "\n".join(["[[spearlet.llm.backends]]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())])


@pytest.fixture(scope="module")
def models():
    with model_server() as running:
        yield running


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("chat")
    shared = {"model": "m", "features": ["supports_tools"], "credential_ref": "mine"}
    tables = [table(kind, models.url(kind), **shared, priority=int(kind == "script")) for kind in KINDS]
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    tables += [
        table("first-busy", models.url("busy"), model="fallback", priority=2),
        table("then-nobody", nobody, model="fallback", priority=1),
        table("then-good", models.url("good"), model="fallback"),
        table("first-broken", models.url("broken"), model="no-fallback", priority=1),
        table("never-asked", models.url("good"), model="no-fallback"),
        table("nobody", nobody, model="m"),
        table("keyless", models.url("good"), model="other", credential_ref="missing"),
        table("asr", models.url("good"), model="other").replace("openai_chat_completion", "openai_realtime_ws"),
        '[[spearlet.llm.credentials]]\nname = "mine"\napi_key_env = "TEST_MODEL_KEY"',
        '[[spearlet.llm.credentials]]\nname = "missing"\napi_key_env = "TEST_NO_SUCH_KEY"',
    ]
    config = folder / "config.toml"
    config.write_text("\n".join(["[executions]\ngrace_ms = 0", *tables]))
    os.environ["TEST_MODEL_KEY"] = KEY
    try:
        with Server(folder / "data", "--config", str(config)) as running:
            yield running
    finally:
        del os.environ["TEST_MODEL_KEY"]


@pytest.fixture(scope="module")
def task(server):
    return server.register("chat", endpoint="chat", config={"limits.concurrency": "8"})


def params(**values):
    return [json.dumps({"key": key, "value": value}) for key, value in values.items()]


def said(server, task, question="hi", **values):
    """What the guest heard from the model."""
    ran = server.run(task, args=params(**values), input=question).json()
    assert ran["status"] == "completed", str(ran)
    return json.loads(ran["output"])


def calls(server, execution_id):
    return [e["data"] for e in events_of(server, ["ModelCalled"], noun="execution", ident=execution_id)]


def failure(server, task, **values):
    error = said(server, task, **values)["error"]
    return error["code"], error["message"]


def test_an_agent_asks_a_model_and_answers_with_what_that_said(server, models):
    agent = server.register("chat", endpoint="ask", args=params(model="m", backend="good", temperature=0.5))
    answer = server.post("/e/ask", data="hi there")
    heard = answer.json()
    assert heard["choices"][0]["message"]["content"] == "you said: hi there"
    assert (heard["usage"], heard["_spear"]) == (USAGE, {"backend": "good", "model": "m"})
    headers, asked = models.asked["good"][-1]
    assert asked == {"model": "m", "temperature": 0.5, "messages": [{"role": "user", "content": "hi there"}]}
    assert headers["Authorization"] == f"Bearer {KEY}"
    (call,) = calls(server, answer.headers["X-Execution-Id"])
    assert (call["backend"], call["model"], call["outcome"], call["task_id"]) == ("good", "m", "completed", agent)
    assert {name: call[name] for name in USAGE} == USAGE


def test_a_backends_model_fills_what_the_agent_left_open(server, task, models):
    assert said(server, task, backend="good")["_spear"] == {"backend": "good", "model": "tiny-1"}
    assert models.asked["good"][-1][1]["model"] == "m"


def test_an_answer_may_come_a_byte_at_a_time(server, task):
    assert said(server, task, backend="chunked")["choices"][0]["message"]["content"] == "you said: hi"


def test_an_answer_that_is_no_object_is_handed_on_as_it_came(server, task):
    told = server.run(task, args=params(backend="list"), input="hi").json()["output"]
    assert told == '{"_spear":{"backend":"list","model":"m"},"result":[1, 2.50]}'


@pytest.mark.parametrize(
    ("backend", "code", "text"),
    [
        ("busy", "upstream_error", "upstream status: 429: some_type: some_code: too many requests"),
        ("broken", "upstream_error", "upstream status: 500: some_type: some_code: your key Bearer *** broke it"),
        ("garbage", "invalid_response", "an answer that is no JSON"),
        ("huge", "invalid_response", "an answer of more than 8388608 bytes"),
        ("half", "network_error", "the connection broke: "),
        ("elsewhere", "upstream_error", "upstream status: 307"),
        ("nobody", "network_error", "no connection: Connection refused"),
    ],
)
def test_what_goes_wrong_is_an_answer_that_says_so(server, task, backend, code, text):
    found = failure(server, task, backend=backend)
    assert found[0] == code
    assert found[1].startswith(f"Runtime error: {text}") and found[1].endswith(f"(backend {backend})")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"model": "unheard"}, 'no candidate backend for model="unheard": available_models=["fallback", "m", "no-fal'),
        ({"backend": "unheard"}, "no candidate backend: op=chat_completions required_features=[] required_transports="),
        ({"backend": "keyless"}, "keyless is unavailable: missing env TEST_NO_SUCH_KEY"),
        ({"backend": "asr"}, "asr is unavailable: kind openai_realtime_ws is not served"),
        ({"backend": "then-good", "response_format": {"type": "json_schema"}}, 'features=["supports_json_schema"]'),
    ],
)
def test_a_request_that_no_backend_may_answer_says_what_there_is(server, task, values, text):
    code, message = failure(server, task, **values)
    assert (code, message.startswith("Operation not supported: no candidate backend")) == ("no_candidate_backend", True)
    assert text in message


def test_a_backend_that_did_not_begin_is_not_the_last_word(server, task, models):
    before = len(models.asked["busy"])
    ran = server.run(task, args=params(model="fallback"), input="hi").json()
    assert json.loads(ran["output"])["_spear"]["backend"] == "then-good"
    asked = [(call["backend"], call["outcome"]) for call in calls(server, ran["execution_id"])]
    assert asked == [("first-busy", "upstream_error"), ("then-nobody", "network_error"), ("then-good", "completed")]
    keys = {headers["Idempotency-Key"] for kind in ("busy", "good") for headers, _ in models.asked[kind][-1:]}
    assert (len(models.asked["busy"]) - before, len(keys)) == (1, 1)


def test_a_call_that_may_have_been_worked_on_is_not_made_again(server, task):
    ran = server.run(task, args=params(model="no-fallback"), input="hi").json()
    assert [call["backend"] for call in calls(server, ran["execution_id"])] == ["first-broken"]


def test_the_agent_says_how_long_a_model_may_take(server, task):
    code, message = failure(server, task, backend="silent", timeout_ms=50)
    assert code == "timeout"
    assert re.fullmatch(r"Runtime error: no answer within \d+ ms \(backend silent\)", message)


def blocked(server, models, agent):
    """An execution that waits for a model which never answers."""
    models.waiting.clear()
    models.given_up.clear()
    ran = server.run(agent, args=params(backend="silent"), input="hi", mode="async").json()["execution_id"]
    assert models.waiting.wait(20)
    return ran


def ended(server, execution_id):
    shown = server.get(f"/api/v1/executions/{execution_id}").json()
    return shown if shown["status"] not in ("pending", "running") else None


def test_an_agent_that_waits_for_a_model_can_be_terminated_and_the_model_is_left(server, task, models):
    ran = blocked(server, models, task)
    shown = server.post(f"/api/v1/executions/{ran}/terminate").json()
    assert (shown["status"], shown["error"]["last_action"]) == ("cancelled", "cchat_send")
    assert models.given_up.wait(20)
    (call,) = eventually(lambda: calls(server, ran))
    assert call["outcome"] == "cancelled"


def test_the_agents_own_deadline_ends_the_wait_for_a_model(server, models):
    ran = blocked(server, models, server.register("chat", config={"limits.wall_ms": "300"}))
    assert eventually(lambda: ended(server, ran))["status"] == "timeout"
    assert models.given_up.wait(20)


def test_a_key_is_shown_to_its_backend_alone(server, task, models):
    failure(server, task, backend="broken")
    said(server, task, model="fallback")
    assert "Authorization" not in models.asked["good"][-1][0]
    everything = server.get("/api/v1/events", params={"limit": "1000"}).text + server.output()
    everything += "".join(path.read_text() for path in server.data_dir.rglob("*.log"))
    assert "TEST_MODEL_KEY" in everything or "model backend keyless is unavailable" in everything
    assert KEY not in everything


def told(server, name):
    """What the directory says of one backend: on how many nodes it is available, and why not."""
    found = {one["name"]: one for one in server.get("/api/v1/backends").json()["backends"]}.get(name)
    return found and (found["available_nodes"], found["nodes"][0]["status_reason"])


def test_the_directory_of_backends_knows_what_this_node_has(server):
    assert told(server, "good") == (1, "")
    assert told(server, "keyless") == (0, "missing env TEST_NO_SUCH_KEY")


def test_a_node_tells_its_sms_what_it_has_and_what_it_has_no_more(server, models, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(table("far", models.url("good"), model="m"))
    flags = ["--config", str(config), "--sms-addr", f"127.0.0.1:{server.grpc_port}", "--auto-register"]
    with Server(tmp_path / "node", *flags, role="spearlet") as node:
        assert eventually(lambda: told(server, "far")) == told(node, "far") == (1, "")
        node.stop()
        config.write_text("")
        node.start()
        eventually(lambda: told(server, "far") is None)
        assert told(node, "far") is None


def scripted(models, *messages):
    """Have the model say these one after the other; what it was asked with each."""
    left, asked = list(messages), []

    def say(question):
        asked.append(question["messages"])
        return completion(question, **left.pop(0))

    models.script = say
    return asked


def wants(*calls):
    """A message that asks for calls of tools."""
    made = [
        {"id": f"call{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate(calls)
    ]
    return {"content": None, "tool_calls": made}


def test_a_model_may_have_functions_of_the_agent_called(server, models):
    task = server.register("tools")
    asked = scripted(models, wants(("add", '{"a":2,"b":40}'), ("add", "{}"), ("sub", "{}")), {"content": "42 it is"})
    ran = server.run(task, input="2+40?").json()
    heard = json.loads(ran["output"])
    assert heard["choices"][0]["message"]["content"] == "42 it is"
    _, said, *results = asked[1]
    assert (said["role"], len(said["tool_calls"])) == ("assistant", 3)
    assert [(one["role"], one["tool_call_id"]) for one in results] == [("tool", f"call{at}") for at in range(3)]
    assert [one["content"] for one in results] == [
        "42",
        '{"error":{"code":"tool_exec_failed","message":"tool rc: -22"}}',
        '{"error":{"code":"unknown_tool","message":"unknown tool: sub"}}',
    ]
    assert [call["backend"] for call in calls(server, ran["execution_id"])] == ["script", "script"]


def test_a_stopping_server_ends_the_wait_for_a_model(server, task, models):
    blocked(server, models, task)
    assert server.stop() == 0
    server.start()

"""Guests and the object store: an agent reads, writes and deletes objects by itself, and only where its task may."""

import pytest

from tests.server import events_of, eventually

EAGAIN, EACCES = "-11", "-13"


def counted(server, task, *args):
    return server.run(task, args=list(args)).json()


def put(server, name, data):
    return server.call("PUT", f"/api/v1/objects/{name}", data=data).status_code


def failed_with(server, ran):
    (line,) = server.get(f"/api/v1/executions/{ran['execution_id']}/logs").json()["lines"]
    assert ran["status"] == "failed"
    return line["message"]


def all_ended(server, executions):
    shown = [server.get(f"/api/v1/executions/{one}").json() for one in executions]
    return shown if all(one["status"] not in ("pending", "running") for one in shown) else None


def test_an_agent_keeps_what_it_needs_in_an_object_of_its_task(server):
    task = server.register("objects")
    assert [counted(server, task)["output"] for _ in range(3)] == ["1\n", "2\n", "3\n"]
    kept = server.get(f"/api/v1/objects/tasks/{task}/count")
    assert (kept.content, kept.headers["ETag"]) == (b"3", '"3"')


def test_what_an_agent_writes_is_its_executions_word_in_the_log(server):
    task = server.register("objects")
    ran = counted(server, task)
    (put,) = [
        e for e in events_of(server, ["ObjectPut"]) if e["data"].get("bucket") == "tasks" and task in e["data"]["key"]
    ]
    assert put["actor"] == f"execution:{ran['execution_id']}"
    requested, *_ = events_of(server, ["ExecutionRequested"], noun="execution", ident=ran["execution_id"])
    assert put["correlation"] == requested["correlation"] != ""


def test_what_an_agent_does_comes_after_its_own_request_in_the_log(server):
    task = server.register("objects")
    counted(server, task)
    warm = counted(server, task)
    assert warm["start"] == "warm"
    events = [e for e in events_of(server, ["ObjectPut"]) if e["actor"] == f"execution:{warm['execution_id']}"]
    requested, *_ = events_of(server, ["ExecutionRequested"], noun="execution", ident=warm["execution_id"])
    assert [put["position"] > requested["position"] for put in events] == [True]


def test_agents_who_write_at_once_lose_nothing(server):
    task = server.register("objects", config={"limits.concurrency": "8"})
    begun = [server.run(task, mode="async").json()["execution_id"] for _ in range(16)]
    shown = eventually(lambda: all_ended(server, begun))
    assert {one["status"] for one in shown} == {"completed"}
    assert server.get(f"/api/v1/objects/tasks/{task}/count").content == b"16"


def test_an_agent_reads_what_was_put_for_it_and_may_delete_it(server):
    task = server.register("objects")
    name = f"tasks/{task}/given"
    assert put(server, name, b"41") == 201
    assert counted(server, task, name)["output"] == "42\n"
    assert failed_with(server, counted(server, task, name, "1")) == EAGAIN
    assert server.get(f"/api/v1/objects/{name}").content == b"42"
    assert counted(server, task, name, "2")["status"] == "completed"
    assert server.get(f"/api/v1/objects/{name}").status_code == 404


@pytest.mark.parametrize("name", ["shared/count", "count", "results/a/b", "tasks/somebody/count"])
def test_an_agent_may_not_touch_what_is_not_its_tasks(server, name):
    put(server, name, b"7")
    ran = counted(server, server.register("objects"), name)
    assert (failed_with(server, ran), server.get(f"/api/v1/objects/{name}").content) == (EACCES, b"7")


def test_a_tasks_config_opens_more_of_the_store_for_reading_or_writing(server):
    put(server, "team/count", b"7")
    reads = server.register("objects", config={"objects.read": "team/, other/"})
    writes = server.register("objects", config={"objects.write": "team/"})
    assert failed_with(server, counted(server, reads, "team/count")) == EACCES
    assert counted(server, writes, "team/count")["output"] == "8\n"
    put(server, "results/a/b", b"7")
    everything = server.register("objects", config={"objects.write": "*"})
    assert failed_with(server, counted(server, everything, "results/a/b")) == EACCES

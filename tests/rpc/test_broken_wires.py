"""What networks and strangers do to a server: floods, noise, cut and doubled bytes. Refusals are clear and nothing is lost."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from random import Random
from uuid import uuid4

import grpc
import pytest
import requests

from spear.adapters.rpc.generated.sms import node_pb2
from spear.adapters.rpc.generated.spearlet import function_pb2
from spear.client import follow
from tests.rest._server import Api
from tests.rpc._wire import Stub, connected, refused
from tests.server import eventually
from tests.unruly import DEEDS, Unruly

MOST, MANY = 24, 200
CONFIG = f"[grpc]\nmax_connections = {MOST}\n[bus]\nmax_connections = {MOST}\n[http]\nmax_connections = {MOST}\n"
GROWTH_MB = 40


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that bears few connections."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "config.toml").write_text(CONFIG)
    with Api(folder / "data", "--config", str(folder / "config.toml")) as running:
        yield running


@pytest.fixture
def bounded(strict: Api) -> Iterator[Api]:
    """The same; it uses neither memory nor files for what happened, and is whole."""
    eventually(lambda: len(list(strict.open_files())) < 60)
    before = strict.rss_mb
    yield strict
    assert strict.rss_mb - before < GROWTH_MB
    eventually(lambda: len(list(strict.open_files())) < 60)
    assert strict.put("/objects/b/still", b"here").ok
    assert "Traceback" not in strict.output()


def flood(port: int, stack: ExitStack) -> list[socket.socket]:
    """Connections of somebody who says nothing."""
    found = []
    for _ in range(MANY):
        with suppress(OSError):
            found.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)))
    return found


def own_line(port: int) -> grpc.Channel:
    """A channel that shares no connection with another one."""
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


def is_open(connection: socket.socket) -> bool:
    """Whether the server has not closed it."""
    connection.setblocking(False)
    try:
        return any(iter(lambda: connection.recv(65536), b"")) and False
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_a_flood_of_connections_on_grpc_is_refused_and_who_was_there_goes_on(bounded: Api) -> None:
    with connected(bounded) as channel, ExitStack() as stack:
        nodes = Stub(channel, node_pb2, "NodeService")
        assert nodes.ListNodes().nodes
        opened = flood(bounded.grpc_port, stack)
        eventually(lambda: sum(map(is_open, opened)) < MOST)
        assert nodes.ListNodes().nodes
        with own_line(bounded.grpc_port) as late, refused(grpc.StatusCode.UNAVAILABLE):
            Stub(late, node_pb2, "NodeService").ListNodes(timeout=5)
    with own_line(bounded.grpc_port) as again:
        assert eventually(lambda: _nodes(again))


def _nodes(channel: grpc.Channel) -> object:
    with suppress(grpc.RpcError):
        return Stub(channel, node_pb2, "NodeService").ListNodes(timeout=5).nodes
    return None


def test_a_flood_of_connections_on_the_bus_is_sent_away_and_readers_miss_nothing(bounded: Api) -> None:
    with ExitStack() as stack:
        head = bounded.get("/ready").json()["head"]
        followed = stack.enter_context(closing(follow(f"127.0.0.1:{bounded.bus_port}", noun="object", after=head)))
        bounded.put("/objects/b/first", b"1")
        first = next(followed)
        opened = flood(bounded.bus_port, stack)
        eventually(lambda: sum(map(is_open, opened)) <= MOST)
        for number in range(3):
            bounded.put(f"/objects/b/more{number}", b"1")
        found = [first, *(next(followed) for _ in range(3))]
        assert [event.previous for event in found[1:]] == [event.position for event in found[:-1]]


def test_noise_on_every_port_is_survived(bounded: Api) -> None:
    random = Random(7)
    begins = (
        b"",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL",
        b"POST /e/x HTTP/1.1\r\n",
    )
    for port in (bounded.grpc_port, bounded.bus_port, bounded.port):
        for begin in begins * 5:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as noisy, suppress(OSError):
                noisy.sendall(begin + random.randbytes(random.randrange(5000)))
    with connected(bounded) as channel:
        assert _nodes(channel)


@pytest.mark.parametrize("size", [20_000, 200_000])
def test_metadata_over_the_limit_is_refused(bounded: Api, size: int) -> None:
    with connected(bounded) as channel, pytest.raises(grpc.RpcError) as caught:
        Stub(channel, node_pb2, "NodeService").ListNodes(sent=(("x-large", "x" * size),))
    assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)


def test_messages_of_random_bytes_are_refused_as_the_callers_mistake(bounded: Api) -> None:
    random, known = Random(11), {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
    with connected(bounded) as channel:
        for method in (
            "sms.NodeService/RegisterNode",
            "sms.TaskService/RegisterTask",
            "spearlet.ObjectService/PutObject",
        ):
            for _ in range(30):
                try:
                    channel.unary_unary(f"/{method}")(random.randbytes(random.randrange(1, 200)), timeout=30)
                except grpc.RpcError as error:
                    assert error.code() not in known, (method, error)


@pytest.fixture(scope="module")
def echo(strict: Api) -> str:
    return strict.register("echo")


def ends(server: Api, task: str) -> list[str]:
    """How each execution of the task ended."""
    found = server.get("/executions", params={"task_id": task, "limit": 1000}).json()["executions"]
    return [execution["status"] for execution in found]


def test_what_is_invoked_by_grpc_over_an_unruly_network_runs_once_and_is_answered(bounded: Api, echo: str) -> None:
    before, asked = len(ends(bounded, echo)), [str(uuid4()) for _ in range(2 * len(DEEDS))]
    with Unruly(bounded.grpc_port) as between:
        for number, ident in enumerate(asked):
            sent = {"task_id": echo, "execution_id": ident, "input": {"data": b"%d" % number}}
            answer = eventually(lambda sent=sent: _invoked(between.port, sent), within_s=30)
            assert (answer.execution_id, answer.output.data) == (ident, b"%d" % number)
    assert ends(bounded, echo)[before:] == ["completed"] * len(asked)


def _invoked(port: int, sent: dict[str, object]) -> object:
    with own_line(port) as channel, suppress(grpc.RpcError):
        return Stub(channel, function_pb2, "InvocationService").Invoke(timeout=3, **sent)
    return None


def test_what_is_invoked_by_rest_over_an_unruly_network_runs_once_and_is_answered(bounded: Api, echo: str) -> None:
    before, asked = len(ends(bounded, echo)), [str(uuid4()) for _ in range(2 * len(DEEDS))]
    with Unruly(bounded.port) as between:
        for number, key in enumerate(asked):
            body = {"task_id": echo, "input": str(number)}
            answer = eventually(lambda key=key, body=body: _posted(between.port, key, body), within_s=30)
            assert answer["output"] == str(number)
    assert ends(bounded, echo)[before:] == ["completed"] * len(asked)


def _posted(port: int, key: str, body: dict[str, str]) -> dict[str, str] | None:
    url, headers = f"http://127.0.0.1:{port}/api/v1/executions", {"Idempotency-Key": key}
    with suppress(requests.RequestException):
        answer = requests.post(url, json=body, headers=headers, timeout=3)
        assert answer.status_code < 500, answer.text
        return answer.json() if answer.status_code == 200 else None
    return None


def test_an_object_that_is_put_over_an_unruly_network_is_whole_or_is_not_there(bounded: Api) -> None:
    content = Random(3).randbytes(200_000)
    with Unruly(bounded.port) as between:
        for _ in range(2 * len(DEEDS)):
            url = f"http://127.0.0.1:{between.port}/api/v1/objects/u/{uuid4()}"
            with suppress(requests.RequestException):
                requests.put(url, data=content, timeout=5)
    kept = [one["key"] for one in bounded.get("/objects", params={"prefix": "u/"}).json()["objects"]]
    assert kept
    assert {len(bounded.get(f"/objects/{key}").content) for key in kept} == {len(content)}

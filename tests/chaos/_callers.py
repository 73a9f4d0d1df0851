"""Clients that have a fleet run agents, through every door, and keep account of what they asked and what they were told."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

import grpc
import requests
import wasmtime

from spear.adapters.rpc.generated.spearlet import function_pb2 as pb
from tests.chaos._fleet import NODES, Fleet
from tests.server import Server

# Logs its input, waits as many milliseconds as asked, answers with its input and exits as asked.
_AGENT = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "spear" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "spear" "sleep_ms" (func $sleep (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\00\\04\\00\\00")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $log (i32.const 2) (i32.const 64) (i32.load (i32.const 8))))
    (call $sleep (i32.const %d))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
    (call $exit (i32.const %d))))"""
AGENTS = {"quick": (0, 0), "slow": (700, 0), "failing": (20, 3)}
_OFTEN = ("quick", "quick", "quick", "slow", "slow", "failing")
_ANSWER_S, _AGAIN_S = 25.0, 0.2
_ENDS = {
    pb.EXECUTION_STATUS_COMPLETED: "completed",
    pb.EXECUTION_STATUS_FAILED: "failed",
    pb.EXECUTION_STATUS_TERMINATED: "cancelled",
    pb.EXECUTION_STATUS_TIMEOUT: "timeout",
}


def register(sms: Server) -> dict[str, str]:
    """Register the agents, each at an endpoint of its name; their tasks' ids."""
    tasks = {}
    for name, settings in AGENTS.items():
        uri = sms.upload(bytes(wasmtime.wat2wasm(_AGENT % settings)))["uri"]
        body = {"name": name, "version": "1", "endpoint": name, "executable": {"type": "wasm", "uri": uri}}
        tasks[name] = str(sms.post("/api/v1/tasks", json=body).json()["task_id"])
    return tasks


@dataclass
class Asked:
    """One invocation: what was asked where, and the last that its client was told; `status` "" is no answer, or a refusal.

    `doubtful` says that some attempt got no answer; `ended` that nothing can change any more what the client was told.
    """

    token: str
    kind: str
    door: str
    task: str
    key: str = ""
    tries: int = 0
    doubtful: bool = False
    accepted: bool = False
    refused: str = ""
    status: str = ""
    execution_id: str = ""
    output: str | None = None
    wrong: str = ""


class _Refused(Exception):
    """The door said no: later, perhaps."""


class _NoAnswer(Exception):
    """Nobody knows what became of it."""


class Callers:
    """Some clients, one invocation after the other each, until `stop`."""

    def __init__(self, fleet: Fleet, tasks: Mapping[str, str], *, seed: int, many: int) -> None:
        self._fleet, self._tasks = fleet, tasks
        self.asked: list[Asked] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n, Random(f"{seed} {n}"))) for n in range(many)]
        for thread in self._threads:
            thread.start()

    def stop(self, *, within_s: float) -> list[str]:
        """Begin nothing new, see through what there is; what is still waited for after that time."""
        self._over.set()
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return [str(one) for one in self.asked if any(t.is_alive() for t in self._threads) and not _settled(one)]

    def _call(self, number: int, random: Random) -> None:
        kinds: tuple[Callable[[Asked], None], ...] = (self._gateway, self._sync, self._async, self._rpc)
        for count in range(1_000_000):
            if self._over.wait(random.uniform(0, 0.15)):
                return
            kind = random.choice(kinds)
            nodes = NODES if kind == self._rpc else ("sms", "sms", "sms", *NODES)
            task = random.choice(_OFTEN)
            one = Asked(f"{number}-{count}", kind.__name__.strip("_"), random.choice(nodes), task)
            if kind != self._gateway or random.random() < 0.7:
                one.key = str(UUID(int=random.getrandbits(128), version=4))
            self.asked.append(one)
            self._see_through(one, kind, random)

    def _see_through(self, one: Asked, kind: Callable[[Asked], None], random: Random) -> None:
        """Ask; with a key again and again until there is an answer."""
        while True:
            one.tries += 1
            try:
                kind(one)
                break
            except _Refused as refusal:
                one.refused = str(refusal)
            except _NoAnswer:
                one.doubtful = True
            if not one.key:
                return
            time.sleep(_AGAIN_S)
        if kind == self._async and random.random() < 0.3:
            self._terminate(one)

    def _url(self, door: str) -> str:
        port = self._fleet.wires["clients > sms"].port if door == "sms" else self._fleet.kept[door].server.port
        return f"http://127.0.0.1:{port}"

    def _post(self, one: Asked, path: str, **options: Any) -> requests.Response:
        headers = {"Idempotency-Key": one.key} if one.key else {}
        try:
            answer = requests.post(self._url(one.door) + path, headers=headers, timeout=_ANSWER_S, **options)
        except requests.RequestException as error:
            raise _NoAnswer from error
        if answer.status_code in (429, 503) and "execution_id" not in answer.json()["details"]:
            raise _Refused(answer.text)
        return answer

    def _gateway(self, one: Asked) -> None:
        """`POST /e/<endpoint>`."""
        answer = self._post(one, f"/e/{one.task}", data=one.token.encode())
        one.accepted = True
        if answer.status_code == 200:
            one.status, one.output, one.execution_id = "completed", answer.text, answer.headers["X-Execution-Id"]
        elif answer.status_code in (502, 503, 504):
            told = answer.json()["details"]
            one.status, one.execution_id = told["status"], told["execution_id"]
        else:
            one.wrong = f"{answer.status_code} {answer.text}"

    def _sync(self, one: Asked) -> None:
        """`POST /api/v1/executions`."""
        answer = self._post(one, "/api/v1/executions", json={"task_id": self._tasks[one.task], "input": one.token})
        self._told(one, answer, 200)

    def _async(self, one: Asked) -> None:
        """Likewise with mode async."""
        body = {"task_id": self._tasks[one.task], "input": one.token, "mode": "async"}
        self._told(one, self._post(one, "/api/v1/executions", json=body), 202)

    def _told(self, one: Asked, answer: requests.Response, wanted: int) -> None:
        one.accepted = True
        if answer.status_code != wanted:
            one.wrong = f"{answer.status_code} {answer.text}"
            return
        told = answer.json()
        one.execution_id, one.output = told["execution_id"], told.get("output")
        one.status = told["status"] if wanted == 200 else ""

    def _terminate(self, one: Asked) -> None:
        """Have it ended; what is told to be cancelled, is."""
        with suppress(requests.RequestException):
            url = f"{self._url(one.door)}/api/v1/executions/{one.execution_id}/terminate"
            answer = requests.post(url, json={}, timeout=_ANSWER_S)
            if answer.status_code == 200 and answer.json()["final_status"] == "cancelled":
                one.status = "cancelled"
            elif answer.status_code not in (200, 409, 503):
                one.wrong = f"terminate: {answer.status_code} {answer.text}"

    def _rpc(self, one: Asked) -> None:
        """`InvocationService/Invoke` at a node, whose execution_id makes it repeatable."""
        request = pb.InvokeRequest(
            execution_id=one.key, task_id=self._tasks[one.task], input=pb.Payload(data=one.token.encode())
        )
        address = f"127.0.0.1:{self._fleet.kept[one.door].server.grpc_port}"
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            invoke = channel.unary_unary(
                "/spearlet.InvocationService/Invoke", pb.InvokeRequest.SerializeToString, pb.InvokeResponse.FromString
            )
            try:
                answer = invoke(request, timeout=_ANSWER_S)
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise _NoAnswer from error
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise _Refused(error.details()) from error
                one.wrong = f"{error.code()} {error.details()}"
                return
        one.accepted, one.execution_id = True, answer.execution_id
        one.status = _ENDS.get(answer.status, f"? {answer.status}")
        one.output = answer.output.data.decode() if one.status == "completed" else None


def _settled(one: Asked) -> bool:
    return one.accepted or bool(one.wrong) or (not one.key and (one.doubtful or bool(one.refused)))

"""The generated messages are what proto/ says, and proto/ says what is on the public wire."""

import subprocess
import sys
from pathlib import Path

import pytest

from spear.adapters.rpc.generated.sms import events_pb2, execution_pb2, node_pb2, task_pb2
from spear.adapters.rpc.generated.spearlet import function_pb2, router_filter_pb2

ROOT = Path(__file__).resolve().parents[2]


def generator(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.make_proto", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_generated_files_are_current():
    pytest.importorskip("grpc_tools")
    done = generator("--check")
    assert done.returncode == 0, done.stderr


def numbers(message) -> dict[str, int]:
    return {field.name: field.number for field in message.DESCRIPTOR.fields}


def test_numbers_that_do_not_follow_the_order_are_those_of_the_wire():
    assert numbers(node_pb2.Node)["http_port"] == 8
    assert numbers(task_pb2.TaskEvent) == {
        "event_id": 1, "ts": 2, "node_uuid": 3, "task_id": 4, "kind": 5, "execution_id": 7,
    }  # fmt: skip
    assert numbers(router_filter_pb2.Candidate)["runtime"] == 20
    assert numbers(router_filter_pb2.FinalAction)["force_backend"] == 10
    assert numbers(router_filter_pb2.RequestSignals)["audio_codec"] == 10


def test_an_absent_execution_id_of_a_task_event_is_not_an_empty_one():
    assert not task_pb2.TaskEvent().HasField("execution_id")
    assert task_pb2.TaskEvent(execution_id="").HasField("execution_id")
    assert not router_filter_pb2.CandidateDecision().HasField("score")


def test_a_selector_holds_one_choice():
    selector = events_pb2.SubscribeEventsSelector(stream="all", node_uuid="n")
    assert selector.WhichOneof("selector") == "node_uuid"


def test_the_two_execution_statuses_keep_their_own_words():
    assert execution_pb2.ExecutionStatus.Name(5) == "EXECUTION_STATUS_CANCELLED"
    assert function_pb2.ExecutionStatus.Name(5) == "EXECUTION_STATUS_TERMINATED"
    assert function_pb2.ExecutionStatus.Name(0) == "EXECUTION_STATUS_UNSPECIFIED"


def test_messages_have_the_bytes_of_the_wire():
    beat = node_pb2.HeartbeatRequest(uuid="n", timestamp=7, health_info={"a": "b"})
    assert beat.SerializeToString() == b"\x0a\x01n\x10\x07\x1a\x06\x0a\x01a\x12\x01b"

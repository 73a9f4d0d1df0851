"""The numbers of proto/ are API. After adding to it: `make proto && python -m tests.rpc.test_catalogue` from the root."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("wire_catalogue.txt")
TYPES = {number: name[5:].lower() for name, number in vars(FieldDescriptor).items() if name.startswith("TYPE_")}


def files() -> list[FileDescriptor]:
    """What was generated from every file of proto/."""
    names = sorted(str(path.relative_to(ROOT / "proto").with_suffix("")) for path in (ROOT / "proto").rglob("*.proto"))
    modules = [f"spear.adapters.rpc.generated.{name.replace('/', '.')}_pb2" for name in names]
    return [importlib.import_module(module).DESCRIPTOR for module in modules]


def catalogue() -> list[str]:
    """A line for each method, field, message and enum value, as `name = number: type`, sorted."""
    return sorted(line for file in files() for line in lines_of(file))


def lines_of(file: FileDescriptor) -> Iterator[str]:
    """The lines of one file."""
    for service in file.services_by_name.values():
        yield from methods(service)
    for message in file.message_types_by_name.values():
        yield from fields(message)
    for enum in file.enum_types_by_name.values():
        yield from values(enum)


def methods(service: ServiceDescriptor) -> Iterator[str]:
    """A service's methods."""
    for method in service.methods:
        asked, told = ("stream " * flag for flag in (method.client_streaming, method.server_streaming))
        yield (f"rpc {method.full_name}: {asked}{method.input_type.full_name} -> {told}{method.output_type.full_name}")


def fields(message: Descriptor) -> Iterator[str]:
    """A message and its fields, those of the messages and enums inside it included."""
    yield f"message {message.full_name}"
    for field in message.fields:
        yield f"field {field.full_name} = {field.number}: {type_of(field)}"
    for inner in message.nested_types:
        yield from () if inner.GetOptions().map_entry else fields(inner)
    for enum in message.enum_types:
        yield from values(enum)


def values(enum: EnumDescriptor) -> Iterator[str]:
    """The values of an enum."""
    for value in enum.values:
        yield f"value {enum.full_name}.{value.name} = {value.number}"


def type_of(field: FieldDescriptor) -> str:
    """A field's type as proto/ writes it, with its oneof."""
    inner = field.message_type or field.enum_type
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return f"map<{type_of(key)}, {type_of(value)}>"
    name = inner.full_name if inner else TYPES[field.type]
    group = field.containing_oneof
    if group:
        return f"optional {name}" if group.name.startswith("_") else f"{name} in {group.name}"
    return f"repeated {name}" if field.is_repeated else name


def problems(golden: list[str], now: list[str]) -> list[str]:
    """What is wrong with proto/ as it is when `golden` may only grow."""
    lost = [
        f"`{line}` is gone or changed; who speaks the old one would misread the wire"
        for line in golden
        if line not in now
    ]
    new = [
        f"`{line}` is new; run `python -m tests.rpc.test_catalogue` and commit the file"
        for line in now
        if line not in golden
    ]
    return lost + new


def test_the_golden_catalogue_lists_the_whole_wire_and_only_grows():
    assert problems(GOLDEN.read_text().splitlines(), catalogue()) == []


GOLD = ["field a.A.x = 1: string", "value a.E.ONE = 1"]


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (GOLD[:1], "`value a.E.ONE = 1` is gone"),
        (["field a.A.x = 2: string", GOLD[1]], "`field a.A.x = 1: string` is gone or changed"),
        (["field a.A.x = 1: bytes", GOLD[1]], "`field a.A.x = 1: string` is gone or changed"),
        ([*GOLD, "field a.A.y = 101: int64"], "`field a.A.y = 101: int64` is new"),
    ],
)
def test_the_catalogue_refuses_what_others_would_misread(now, problem):
    assert problems(GOLD, now)[0].startswith(problem)


def test_the_kinds_of_line_are_all_there():
    lines = GOLDEN.read_text().splitlines()
    assert "rpc sms.TaskService.SubscribeTaskEvents: sms.SubscribeTaskEventsRequest -> stream sms.TaskEvent" in lines
    assert "field sms.Node.metadata = 7: map<string, string>" in lines
    assert "field sms.TaskEvent.execution_id = 7: optional string" in lines
    assert "field sms.ListNodesResponse.nodes = 1: repeated sms.Node" in lines
    assert "field sms.SubscribeEventsSelector.node_uuid = 2: string in selector" in lines
    assert "value spearlet.ExecutionStatus.EXECUTION_STATUS_TERMINATED = 5" in lines


if __name__ == "__main__":
    recorded = GOLDEN.read_text().splitlines() if GOLDEN.exists() else []
    wrong = [problem for problem in problems(recorded, catalogue()) if " is new; " not in problem]
    if wrong:
        sys.exit("\n".join(wrong))
    GOLDEN.write_text("\n".join(sorted({*recorded, *catalogue()})) + "\n")

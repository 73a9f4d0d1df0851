"""`spear task`: registered agents."""

from argparse import REMAINDER, ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from spear.cli.remote.command import Command
from spear.cli.remote.endings import Ended, Exit
from spear.cli.remote.files import upload
from spear.cli.remote.naming import named, no_such, pair, pairs
from spear.cli.remote.output import Output
from spear.cli.remote.paging import listed, takes_pages
from spear.cli.remote.server import Server

_COLUMNS = ("task_id", "name", "status", "endpoint", "version", "priority", "registered_at")
_PRIORITIES = ("low", "normal", "high", "urgent")
_KINDS = ((b"\0asm", "wasm"), (b"\x7fELF", "binary"), (b"#!", "script"))


class Submitted(NamedTuple):
    """A task that was registered, and the file that was uploaded for it, or ""."""

    task_id: str
    file_id: str
    answer: dict[str, Any]


def describes_task(parser: ArgumentParser) -> None:
    """The options that say more about a task than what it runs."""
    parser.add_argument("--name", type=named, help="the task's name (default: the program's)")
    parser.add_argument("--task-version", default="1", metavar="VERSION", help="the agent's version (default 1)")
    parser.add_argument("--priority", choices=_PRIORITIES, default="normal", help="how urgent its work is")
    parser.add_argument("--node", default="", metavar="NODE", help="only this node may run it")
    _takes_pairs(parser, "--env", "in the agent's environment")
    _takes_pairs(parser, "--config", "such as limits.wall_ms=5000")
    _takes_pairs(parser, "--metadata", "kept with the task")


def _takes_pairs(parser: ArgumentParser, option: str, what: str) -> None:
    parser.add_argument(
        option, type=pair, action="append", default=[], metavar="KEY=VALUE", help=f"{what}; may be repeated"
    )


def _submission(parser: ArgumentParser) -> None:
    describes_task(parser)
    parser.add_argument("--endpoint", default="", help="callable as POST /e/ENDPOINT")
    parser.add_argument("--description", help="what it is for")
    parser.add_argument(
        "--capability", action="append", default=[], metavar="WORD", help="what a node must have; may be repeated"
    )
    takes_program(parser)


def takes_program(parser: ArgumentParser) -> None:
    """The program and its arguments; whatever follows the program is the agent's, options too."""
    parser.add_argument(
        "program",
        nargs=REMAINDER,
        metavar="PROGRAM [ARG ...]",
        help="a .wasm file, an address (docker://NAME for an image), a path to a program or script, or a command",
    )


def words_of(args: Namespace) -> list[str]:
    """What follows the options."""
    found: list[str] = args.program
    return found[1:] if found[:1] == ["--"] else found


def program_of(args: Namespace) -> tuple[str, list[str]]:
    """The program and its arguments; raises `Ended` when it is missing."""
    words = words_of(args)
    if not words or not words[0]:
        raise Ended("PROGRAM: missing, expected a .wasm file, an address, a path, or a command", Exit.USAGE)
    return words[0], words[1:]


def _submit(args: Namespace, server: Server, out: Output) -> None:
    """Register an agent: a file is uploaded first; what follows the program are its arguments."""
    program, arguments = program_of(args)
    more = {"endpoint": args.endpoint, "description": args.description, "capabilities": args.capability}
    out.one(submit(server, args, program, arguments=arguments, **more).answer, "task_id")


def submit(server: Server, args: Namespace, program: str, *, arguments: list[str], **more: object) -> Submitted:
    """Upload the program if it is a file, and register it; when that is refused, the upload is taken back."""
    executable, file_id = _executable(server, program)
    body = {
        "name": args.name or Path(program).stem,
        "version": args.task_version,
        "priority": args.priority,
        "node_uuid": args.node,
        "config": pairs(args.config),
        "metadata": pairs(args.metadata),
        "executable": {**executable, "args": arguments, "env": pairs(args.env)},
        **more,
    }
    try:
        answer = server.json("POST", "tasks", body=body)
    except Ended:
        if file_id:
            with suppress(Ended):  # what is told is why the task was refused
                server.json("DELETE", "files", file_id)
        raise
    return Submitted(answer["task_id"], file_id, answer)


def _executable(server: Server, program: str) -> tuple[dict[str, str], str]:
    if program.startswith("docker://"):
        return {"type": "container", "uri": program}, ""
    if "://" in program:
        return {"type": "wasm", "uri": program}, ""
    kind = _kind(program)
    if kind == "process":
        return {"type": kind, "uri": program, "name": program}, ""
    kept = upload(server, program)
    about = {"uri": kept["uri"], "name": kept["name"], "checksum_sha256": kept["sha256"]}
    return {"type": kind, **about}, kept["id"]


def _kind(program: str) -> str:
    """What the program is by its name or its first bytes: a file of ours that is uploaded, or else a command of a node.

    A program or a script is a file of ours when a path leads to it, a module also without one; a path from here
    cannot be anything else, so `Ended` is raised when it leads to neither.
    """
    if program.endswith(".wasm"):
        return "wasm"
    from_here = "/" in program and not program.startswith("/")
    if not from_here and not Path(program).is_file():
        return "process"
    try:
        with open(program, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise no_such("PROGRAM", program, error) from None
    kinds = (kind for magic, kind in _KINDS if head.startswith(magic) and ("/" in program or kind == "wasm"))
    kind = next(kinds, "" if from_here else "process")
    if not kind:
        raise Ended(
            f"PROGRAM: got {program!r}, expected a module, a program, or a script that begins with #!", Exit.USAGE
        )
    return kind


def _which(parser: ArgumentParser) -> None:
    takes_pages(parser)
    parser.add_argument("--status", default="", help="only registered, active or inactive ones")
    parser.add_argument("--priority", choices=_PRIORITIES, default="", help="only tasks of this priority")
    parser.add_argument("--node", default="", metavar="NODE", help="only tasks that are bound to this node")


def _list(args: Namespace, server: Server, out: Output) -> None:
    """List tasks in the order in which they were registered."""
    query = {"status": args.status, "priority": args.priority, "node_uuid": args.node}
    out.rows(listed(server, args, "tasks", key="tasks", **query), "tasks", _COLUMNS)


def _one(parser: ArgumentParser) -> None:
    parser.add_argument("task", type=named, metavar="TASK", help="the task's id")


def _show(args: Namespace, server: Server, out: Output) -> None:
    """Show a task and its last result."""
    out.record(server.get("tasks", args.task))


def _ending(parser: ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--reason", default="stopped from the command line", help="kept with the fact")


def _stop(args: Namespace, server: Server, out: Output) -> None:
    """Unregister a task: it takes no more work and its endpoint is free; runs that go on are not touched."""
    answer = server.json("DELETE", "tasks", args.task, body={"reason": args.reason})
    out.one({"task_id": args.task, **answer}, "task_id")


COMMANDS = (
    Command("task submit", _submit, _submission),
    Command("task list", _list, _which),
    Command("task show", _show, _one),
    Command("task stop", _stop, _ending),
)

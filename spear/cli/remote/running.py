"""`spear run`: a program goes in, its output comes out, its exit code becomes ours."""

import signal
import sys
import uuid
from argparse import ArgumentParser, Namespace
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from spear.cli.remote.command import Command
from spear.cli.remote.endings import RUN_OFFSET, Ended, Exit, exit_of_run
from spear.cli.remote.executions import follow_logs, stop, text_of
from spear.cli.remote.naming import PIPE, opened, pairs, seconds
from spear.cli.remote.objects import content_of
from spear.cli.remote.output import Output
from spear.cli.remote.server import Server
from spear.cli.remote.tasks import describes_task, program_of, submit, takes_program, words_of
from spear.cli.remote.transfers import download

_INPUT_MOST = 1_500_000  # the API takes 2 MiB of JSON
_EXITS = {"timeout": Exit.TIMEOUT, "InvalidConfiguration": Exit.REFUSED}
_STOPPED = "the command that ran it was stopped"


def _what(parser: ArgumentParser) -> None:
    parser.set_defaults(offset=RUN_OFFSET)
    parser.add_argument("--input", "-i", metavar="FILE", help="its input (default: what is piped in)")
    parser.add_argument("--timeout", type=seconds, default=0, metavar="SECONDS", help="stop it after so long")
    parser.add_argument("--task", default="", help="run this registered task, by id or endpoint; ARGs go to it")
    parser.add_argument("--keep", action="store_true", help="leave the task registered")
    parser.add_argument(
        "--detach", "-d", action="store_true", help="print the execution's id and do not wait; implies --keep"
    )
    describes_task(parser)
    takes_program(parser)


def _run(args: Namespace, server: Server, out: Output) -> int | None:
    """Submit a program and run it: input from standard input, output to standard output, logs to standard error."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is not
            signal.signal(number, signal.default_int_handler)  # whoever ends us ends the run
    data = _input(args.input)
    with _task(args, server) as call:
        body = {**call, **data, "mode": "async", "timeout_ms": args.timeout}
        started = server.json("POST", "executions", body=body)
        if args.detach:
            out.one(started, "execution_id")
            return None
        ended = _await(server, started["execution_id"])
    return _end(server, ended, out)


def _input(file: str | None) -> dict[str, str]:
    if file is None and (sys.stdin is None or sys.stdin.isatty()):
        return {}
    with opened(file or PIPE, named="--input") as source:
        data = source.read(_INPUT_MOST + 1)
    if len(data) > _INPUT_MOST:
        raise Ended(f"--input: more than {_INPUT_MOST} bytes; POST it to /e/ENDPOINT of a task instead", Exit.REFUSED)
    return {"input_base64": b64encode(data).decode()}


@contextmanager
def _task(args: Namespace, server: Server) -> Iterator[dict[str, Any]]:
    """What is called, and with what; a task that was made for it goes afterwards."""
    if args.task:
        named = {"task_id" if _is_uuid(args.task) else "endpoint": args.task}
        yield {**named, "args": words_of(args), "environment": pairs(args.env), "node_uuid": args.node}
        return
    program, arguments = program_of(args)
    submitted = submit(server, args, program, arguments=[])
    try:
        yield {"task_id": submitted.task_id, "args": arguments}
    finally:
        if not (args.keep or args.detach):
            with suppress(Ended):  # the run's own ending is what counts
                server.json("DELETE", "tasks", submitted.task_id, body={"reason": "the run is over"})
                if submitted.file_id:
                    server.json("DELETE", "files", submitted.file_id)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _await(server: Server, execution: str) -> dict[str, Any]:
    """The execution once it ended, its log lines printed meanwhile; whatever ends us before ends it too."""
    try:
        for line in follow_logs(server, execution, query={}):
            print(text_of(line), file=sys.stderr, flush=True)
        return dict(server.get("executions", execution))
    except BaseException:  # a Ctrl-C too ends what was begun; it goes on up
        with suppress(Ended):
            stop(server, execution, _STOPPED)
        raise


def _end(server: Server, ended: dict[str, Any], out: Output) -> int:
    if out.json:
        out.record(ended)
    elif ended["output_size"] and ended["status"] == "completed":
        download(server, content_of(server, f"results/{ended['task_id']}/{ended['execution_id']}"), PIPE)
    if ended["status"] == "failed" and ended["exit_code"]:
        return exit_of_run(ended["exit_code"])
    if ended["status"] != "completed":
        raise _unfinished(ended)
    return Exit.OK


def _unfinished(ended: dict[str, Any]) -> Ended:
    told = ended["error"] or {"message": f"the run ended {ended['status']}", "code": None}
    exit = _EXITS.get(told["code"], _EXITS.get(ended["status"], Exit.FAILED))
    return Ended(told["message"], exit, code=told["code"])


COMMANDS = (Command("run", _run, _what),)

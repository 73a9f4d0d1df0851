"""`spear exec`: runs of tasks."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from spear.cli._arguments import whole
from spear.cli._text import plain
from spear.cli.remote.command import Command
from spear.cli.remote.following import follow
from spear.cli.remote.naming import named
from spear.cli.remote.output import Output, local, moment, timed
from spear.cli.remote.paging import listed, takes_pages
from spear.cli.remote.server import Server, path_of

_COLUMNS = ("execution_id", "task_id", "status", "exit_code", "requested_at_ms", "duration_ms")
_STATUSES = ("pending", "running", "completed", "failed", "cancelled", "timeout")
_LEVELS = ("trace", "debug", "info", "warn", "error")
_PAGE = 1000


def _which(parser: ArgumentParser) -> None:
    takes_pages(parser)
    parser.add_argument("--task", default="", metavar="TASK", help="only runs of this task")
    parser.add_argument("--status", choices=_STATUSES, default="", help="only runs of this status")


def _list(args: Namespace, server: Server, out: Output) -> None:
    """List executions, the newest first."""
    query = {"task_id": args.task, "status": args.status}
    out.rows(listed(server, args, "executions", key="executions", **query), "executions", _COLUMNS)


def _one(parser: ArgumentParser) -> None:
    parser.add_argument("execution", type=named, metavar="EXECUTION", help="the execution's id")


def _show(args: Namespace, server: Server, out: Output) -> None:
    """Show an execution with its output."""
    found = server.get("executions", args.execution)
    lines = [] if out.json else found.pop("output", "").splitlines()
    out.record(found, without=("found", "execution"))
    if lines:
        print("", *(plain(line.expandtabs()) for line in lines), sep="\n")


def _why(args: Namespace, server: Server, out: Output) -> None:
    """Say why an execution ran where it did, and on which nodes it did not."""
    found = server.get("executions", args.execution, "placement")
    out.item(found, plain(found["explanation"]))


def _lines(parser: ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="go on until the execution ends, or until Ctrl-C")
    parser.add_argument("--after", type=whole, default=0, metavar="N", help="begin after the line of this number")
    parser.add_argument("--stream", choices=("stderr", "log"), default="", help="only lines of this stream")
    parser.add_argument("--level", choices=_LEVELS, default="", help="only lines of this level and above")


def _logs(args: Namespace, server: Server, out: Output) -> None:
    """Print what an execution wrote to its log and its standard error, a line for each."""
    read = follow_logs if args.follow else _pages
    query = {"stream": args.stream, "level": args.level}
    for line in read(server, args.execution, query=query, after=args.after):
        out.item(timed(line), _shown(line))


def _shown(line: dict[str, Any]) -> str:
    when = moment("ts_ms", line["ts_ms"])
    at = local(when, precise=True) if when else "-"
    return f"{at}  {line['level']:<5}  {line['stream']:<6}  {text_of(line)}"


def text_of(line: dict[str, Any]) -> str:
    """A line's text, which cannot steer the terminal."""
    return plain(line["message"].expandtabs())


def follow_logs(server: Server, execution: str, *, query: dict[str, str], after: int = 0) -> Iterator[dict[str, Any]]:
    """Every line beyond number `after`, until the execution ended."""
    for message in follow(server, path_of("executions", execution, "logs"), query=query, after=after):
        if message.event != "end":
            yield message.data


def _pages(server: Server, execution: str, *, query: dict[str, str], after: int) -> Iterator[dict[str, Any]]:
    while True:
        page = server.get("executions", execution, "logs", limit=_PAGE, after=after, **query)
        yield from page["lines"]
        if page["next_after"] == after:
            return
        after = page["next_after"]


def _ending(parser: ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--reason", default="stopped from the command line", help="kept with the fact")


def stop(server: Server, execution: str, reason: str) -> dict[str, Any]:
    """End an execution as cancelled; repeating it changes nothing."""
    found: dict[str, Any] = server.json("POST", "executions", execution, "terminate", body={"reason": reason})
    return found


def _stop(args: Namespace, server: Server, out: Output) -> None:
    """Stop an execution; it ends as cancelled. One that ended by itself is refused."""
    out.one(stop(server, args.execution, args.reason), "execution_id")


COMMANDS = (
    Command("exec list", _list, _which),
    Command("exec show", _show, _one),
    Command("exec why", _why, _one),
    Command("exec logs", _logs, _lines),
    Command("exec stop", _stop, _ending),
)

"""The table of commands, and the parser that is made of it."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import Any

from spear import __version__
from spear.cli._arguments import Parser
from spear.cli.remote import completion, executions, facts, files, nodes, objects, running, tasks
from spear.cli.remote.command import Command
from spear.cli.remote.output import Output
from spear.cli.remote.server import Server

DEFAULT_SERVER = "http://localhost:8080"
_GROUPS = {
    "task": "registered agents",
    "exec": "runs of tasks",
    "node": "machines that run agents",
    "object": "stored content by name",
    "file": "uploaded files",
    "events": "everything that happened",
}
_EPILOG = """\
Exit status: 0 done, 1 it failed, 2 wrong usage, 3 not found, 4 the server cannot be reached, 5 refused, 6 out of time,
7 busy, 8 not allowed, 130 Ctrl-C. "spear run" ends with the agent's own, and adds 100 to these."""


def _shell(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=completion.SHELLS, metavar="SHELL", help="one of %(choices)s")


def _completion(args: Namespace, server: Server, out: Output) -> None:
    """Print the script that completes these commands in a shell."""
    print(completion.script(args.shell, make_parser()), end="")


COMMANDS = (
    *running.COMMANDS,
    *tasks.COMMANDS,
    *executions.COMMANDS,
    *nodes.COMMANDS,
    *objects.COMMANDS,
    *files.COMMANDS,
    *facts.COMMANDS,
    Command("completion", _completion, _shell),
)


def make_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="spear", description="Speak to a SPEAR server over REST.", epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"spear {__version__}")
    _takes_common(parser, server=None, token=None, format="table")
    parser.set_defaults(offset=0)
    top = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    groups = {"": top, **{noun: _group(top.add_parser(noun, help=help)) for noun, help in _GROUPS.items()}}
    for command in COMMANDS:
        group, _, verb = command.words.rpartition(" ")
        does = command.does.__doc__ or ""
        added = groups[group].add_parser(verb, help=does.partition(";")[0], description=does, epilog=_EPILOG)
        command.arguments(added)
        _takes_common(added, server=SUPPRESS, token=SUPPRESS, format=SUPPRESS)
        added.set_defaults(does=command.does)
        added.wrong_usage += added.get_default("offset") or 0
    return parser


def _group(parser: Parser) -> Any:
    return parser.add_subparsers(required=True, metavar="COMMAND", dest="command")


def _takes_common(parser: Parser, *, server: str | None, token: str | None, format: str) -> None:
    common = parser.add_argument_group("common options")
    common.add_argument(
        "--output", "-o", dest="format", choices=("table", "json"), default=format, help="how to print (default table)"
    )
    common.add_argument(
        "--server", metavar="URL", default=server, help=f"the server (default: SPEAR_SERVER, or {DEFAULT_SERVER})"
    )
    common.add_argument("--token", default=token, help="the token to show (default: SPEAR_TOKEN, which ps cannot see)")

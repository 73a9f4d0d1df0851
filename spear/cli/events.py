"""`python -m spear.events`: look at a log, check it, look back in time, carry it elsewhere."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spear.cli import _checks, _past, _reading, _stats, _transfer
from spear.cli._arguments import Parser, at_least_one, whole
from spear.cli._place import LOG_NAMES
from spear.cli._progress import Progress
from spear.errors import Corrupt, SpearError

_MOMENT = "a position, or an RFC 3339 time such as 2026-01-31T12:00:00Z"
_EPILOG = "Exit status: 0 all is well, 1 something is wrong with the log or its views, 2 it could not be done."


@dataclass(frozen=True, slots=True)
class _Command:
    name: str
    run: Callable[[Namespace, Progress], int]
    help: str
    arguments: Callable[[ArgumentParser], None]


def _tail(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--follow", "-f", action="store_true", help="go on with what is recorded from now on, until Ctrl-C"
    )
    parser.add_argument("--after", metavar="WHEN", help=f"begin after this: {_MOMENT}")
    parser.add_argument(
        "--type", action="append", default=[], help="only this type, such as NodeLost or node.NodeLost; may be repeated"
    )
    parser.add_argument(
        "--limit", type=at_least_one, metavar="N", help="end after N events; without --after, the last N (default 20)"
    )


def _show(parser: ArgumentParser) -> None:
    parser.add_argument("position", type=whole, metavar="POSITION", help="the event's position")


def _nothing_more(parser: ArgumentParser) -> None:
    pass


def _replay(parser: ArgumentParser) -> None:
    parser.add_argument("--until", metavar="WHEN", help=f"stop at {_MOMENT} (default: where the live views are)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the rebuilt views in this new file")


def _as_of(parser: ArgumentParser) -> None:
    parser.add_argument("position", metavar="POSITION", help=_MOMENT)
    parser.add_argument("table", choices=_past.SHOWN, help="one of %(choices)s", metavar="TABLE")
    parser.add_argument("--limit", type=at_least_one, default=100, metavar="N", help="at most N rows (default 100)")
    parser.add_argument("--after", default="", metavar="KEY", help="begin after this seq or key")


def _diff(parser: ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help=f"the earlier one: {_MOMENT}")
    parser.add_argument("b", metavar="B", help="the later one, likewise")
    parser.add_argument(
        "--limit", type=at_least_one, default=20, metavar="N", help="at most N rows a table (default 20)"
    )


def _export(parser: ArgumentParser) -> None:
    parser.add_argument("--after", default="0", metavar="WHEN", help=f"begin after this: {_MOMENT} (default 0)")
    parser.add_argument("--until", metavar="WHEN", help="stop there, likewise (default: the end)")


def _import(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the export, from the first event on; - for standard input")
    parser.add_argument("--role", choices=LOG_NAMES, default="sms", help="whose log it becomes (default sms)")


COMMANDS = (
    _Command("tail", _reading.tail, "print events, one a line", _tail),
    _Command("show", _reading.show, "print one event in full, and what it led to", _show),
    _Command("stats", _stats.stats, "count events, bytes and rates by type", _nothing_more),
    _Command("verify", _checks.check, "check every event and every view", _nothing_more),
    _Command("replay", _checks.replay, "rebuild the views beside the live ones and compare", _replay),
    _Command("as-of", _past.as_of, "print a table as it was", _as_of),
    _Command("diff", _past.diff, "print what changed between two positions", _diff),
    _Command("export", _transfer.export, "write events as JSON lines", _export),
    _Command("import", _transfer.bring_in, "make a log from an export, in an empty data directory", _import),
)


def _parser() -> ArgumentParser:
    parser = Parser(prog="python -m spear.events", description=__doc__, epilog=_EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.help, description=command.run.__doc__, epilog=_EPILOG)
        command.arguments(added)
        added.add_argument(
            "--data-dir",
            type=Path,
            default=Path("data"),
            metavar="DIR",
            help="where sms.db or spearlet.db is (default ./data)",
        )
        added.add_argument("--json", action="store_true", help="print JSON for programs")
        added.set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = _parser().parse_args(arguments)
    if sys.stdout is None:
        return _failed("standard output is closed", 2)
    try:
        with Progress(args.command) as progress:
            status: int = args.run(args, progress)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it flushes
        return 0
    except KeyboardInterrupt:
        return 0 if getattr(args, "follow", False) else 130
    except SpearError as error:
        return _failed(error.message, 1 if isinstance(error, Corrupt) else 2)
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error), 2)
    return status


def _failed(message: str, status: int) -> int:
    print(f"error: {' '.join(message.splitlines())}", file=sys.stderr)
    return status

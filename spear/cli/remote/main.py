"""`spear`: the command line to a SPEAR server."""

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from spear.cli._text import as_json, plain
from spear.cli.remote.commands import DEFAULT_SERVER, make_parser
from spear.cli.remote.endings import Ended, Exit
from spear.cli.remote.output import Output
from spear.cli.remote.server import Server, address


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit status."""
    args = make_parser().parse_args(arguments)
    try:
        status: int | None = args.does(args, _server(args, environ), Output(args.format))
        print(end="", flush=True)
    except BrokenPipeError:
        _let_go_of_output()
        return Exit.OK
    except KeyboardInterrupt:
        return Exit.OK if getattr(args, "follow", False) else Exit.INTERRUPTED
    except Ended as error:
        return _failed(args, error)
    except OSError as error:  # standard output cannot be written
        _let_go_of_output()
        return _failed(args, Ended(error.strerror or str(error)))
    return status or Exit.OK


def _let_go_of_output() -> None:
    """What is left to print goes nowhere; the interpreter would complain when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _server(args: Namespace, environ: Mapping[str, str]) -> Server:
    where = address(args.server or environ.get("SPEAR_SERVER", "") or DEFAULT_SERVER)
    return Server(where, token=args.token or environ.get("SPEAR_TOKEN", ""))


def _failed(args: Namespace, error: Ended) -> int:
    told = {"error": error.code, "message": error.message, "details": error.details}
    text = as_json(told) if args.format == "json" else f"error: {plain(' '.join(error.message.splitlines()))}"
    print(text, file=sys.stderr)
    return error.exit + int(args.offset)

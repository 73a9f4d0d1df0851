"""`spear file`: uploaded files."""

from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import quote

from spear.cli._progress import Progress
from spear.cli.remote.command import Command
from spear.cli.remote.naming import named
from spear.cli.remote.output import Output
from spear.cli.remote.paging import listed, takes_pages
from spear.cli.remote.server import Server, path_of
from spear.cli.remote.transfers import Content, download, takes_target, uploading

_COLUMNS = ("id", "name", "len", "content_type", "modified_at")
_SCHEMES = ("sms+file://", "smsfile://")
OCTETS = "application/octet-stream"


def takes_source(parser: ArgumentParser) -> None:
    """What is uploaded, and of what type it is."""
    parser.add_argument("file", metavar="FILE", help="the file; - for standard input")
    parser.add_argument("--type", default=OCTETS, metavar="TYPE", help=f"its content type (default {OCTETS})")


def upload(server: Server, file: str, *, name: str = "", content_type: str = OCTETS) -> dict[str, Any]:
    """Send a file; what the server says of it. Raises `Ended` when it kept something else."""
    with uploading(file) as source, Progress("upload") as progress:
        named_as = quote(name or source.name, safe="")
        headers = {"x-file-name": named_as, "Content-Type": content_type, **source.headers}
        with server.asked("POST", path_of("files"), body=source.pieces(progress), headers=headers) as answer:
            kept: dict[str, Any] = server.decoded(answer)
        source.check(kept["sha256"])
    return kept


def _source(parser: ArgumentParser) -> None:
    takes_source(parser)
    parser.add_argument("--name", default="", help="what it is called (default: the file's own name)")


def _put(args: Namespace, server: Server, out: Output) -> None:
    """Upload a file and print the address under which a task can name it."""
    out.one(upload(server, args.file, name=args.name, content_type=args.type), "uri")


def _ident(text: str) -> str:
    for scheme in _SCHEMES:
        text = text.removeprefix(scheme)
    return named(text)


def _one(parser: ArgumentParser) -> None:
    parser.add_argument("id", type=_ident, metavar="ID", help="the file's id or its address")


def _from(parser: ArgumentParser) -> None:
    _one(parser)
    takes_target(parser)


def _get(args: Namespace, server: Server, out: Output) -> None:
    """Download a file; a download into FILE that broke is taken up again by the same command."""
    meta = server.get("files", args.id, "meta")
    content = Content(path_of("files", args.id), f'"{meta["sha256"]}"', meta["len"], meta["sha256"])
    download(server, content, args.file)


def _which(parser: ArgumentParser) -> None:
    takes_pages(parser)
    parser.add_argument("--search", default="", metavar="TEXT", help="only files with this in their name or id")


def _list(args: Namespace, server: Server, out: Output) -> None:
    """List files, the newest first."""
    out.rows(listed(server, args, "files", key="files", q=args.search), "files", _COLUMNS)


def _stat(args: Namespace, server: Server, out: Output) -> None:
    """Show what is known of a file."""
    out.record(server.get("files", args.id, "meta"), without=("found",))


def _rm(args: Namespace, server: Server, out: Output) -> None:
    """Delete a file."""
    out.one({"id": args.id, **server.json("DELETE", "files", args.id)}, "id")


COMMANDS = (
    Command("file put", _put, _source),
    Command("file get", _get, _from),
    Command("file list", _list, _which),
    Command("file stat", _stat, _one),
    Command("file rm", _rm, _one),
)

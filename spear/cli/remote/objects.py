"""`spear object`: stored content by name."""

import re
from argparse import ArgumentParser, Namespace
from base64 import b64decode
from http.client import HTTPMessage
from typing import Any
from urllib.parse import quote

from spear.cli._arguments import whole
from spear.cli._progress import Progress
from spear.cli.remote.command import Command
from spear.cli.remote.files import takes_source
from spear.cli.remote.naming import named, pair, pairs
from spear.cli.remote.output import Output
from spear.cli.remote.paging import listed, takes_pages
from spear.cli.remote.server import Server
from spear.cli.remote.transfers import Content, download, takes_target, uploading

_COLUMNS = ("key", "version", "size", "content_type", "refs", "pinned", "updated_at_ms", "node_uuid")
_BUCKET = "default"
_LIKE_ROUTES = ("/refs", "/pin")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def path_to(key: str) -> str:
    """Where an object is read and written; its key keeps its slashes."""
    return "/api/v1/objects/" + quote(key, safe="/")


def _full(key: str) -> str:
    return key if "/" in key else f"{_BUCKET}/{key}"


def stat(server: Server, key: str) -> dict[str, Any]:
    """What the list says of one object; of a result of another node, what its content's header fields say."""
    full = _full(key)
    for found in server.get("objects", prefix=full, limit=1)["objects"]:
        if found["key"] == full and found["sha256"]:
            return dict(found)
    return _told(full, server.head(path_to(key)))


def _told(full: str, head: HTTPMessage) -> dict[str, Any]:
    found = {"key": full, "size": int(head.get("Content-Length", "0")), "sha256": _digest(head)}
    return {**found, "content_type": head.get("Content-Type", "")}


def _digest(head: HTTPMessage) -> str:
    found = _DIGEST.fullmatch(head.get("Repr-Digest", ""))
    return b64decode(found[1]).hex() if found else ""


def content_of(server: Server, key: str) -> Content:
    """An object's content as it is now; raises `Ended` when there is none."""
    path = path_to(key)
    head = server.head(path)
    return Content(path, head.get("ETag", ""), int(head.get("Content-Length", "0")), _digest(head))


def _one(parser: ArgumentParser) -> None:
    parser.add_argument("key", type=named, metavar="KEY", help="KEY, or BUCKET/KEY; results are in the bucket results")


def _source(parser: ArgumentParser) -> None:
    _one(parser)
    takes_source(parser)
    parser.add_argument(
        "--meta", type=pair, action="append", default=[], metavar="KEY=VALUE", help="kept with it; may be repeated"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--if-absent", action="store_true", help="only if there is no such object")
    only.add_argument("--if-version", type=whole, metavar="N", help="only if this is its version now")


def _put(args: Namespace, server: Server, out: Output) -> None:
    """Write an object; what was there before is replaced unless a condition says otherwise."""
    with uploading(args.file) as source, Progress("upload") as progress:
        headers = {"Content-Type": args.type, **_meta(args), **_condition(args), **source.headers}
        with server.asked("PUT", path_to(args.key), body=source.pieces(progress), headers=headers) as answer:
            kept = server.decoded(answer)
        source.check(kept["sha256"])
    out.record(kept)


def _meta(args: Namespace) -> dict[str, str]:
    return {f"X-Object-Meta-{name}": quote(value) for name, value in pairs(args.meta).items()}


def _condition(args: Namespace) -> dict[str, str]:
    if args.if_absent:
        return {"If-None-Match": "*"}
    return {} if args.if_version is None else {"If-Match": f'"{args.if_version}"'}


def _from(parser: ArgumentParser) -> None:
    _one(parser)
    takes_target(parser)


def _get(args: Namespace, server: Server, out: Output) -> None:
    """Download an object; a download into FILE that broke is taken up again by the same command."""
    download(server, content_of(server, args.key), args.file)


def _which(parser: ArgumentParser) -> None:
    takes_pages(parser)
    parser.add_argument("--prefix", default="", metavar="TEXT", help="only BUCKET/KEYs that begin so")


def _list(args: Namespace, server: Server, out: Output) -> None:
    """List objects by name."""
    out.rows(listed(server, args, "objects", key="objects", prefix=args.prefix), "objects", _COLUMNS)


def _stat(args: Namespace, server: Server, out: Output) -> None:
    """Show what is known of an object."""
    out.record(stat(server, args.key))


def _ending(parser: ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--force", action="store_true", help="a pinned one too")


def _rm(args: Namespace, server: Server, out: Output) -> None:
    """Delete an object."""
    path, query, body = path_to(args.key), {"force": "true" if args.force else ""}, None
    if args.key.endswith(_LIKE_ROUTES):  # DELETE on its path would let go of another object
        path, query, body = f"{path}/refs", {}, {"count": stat(server, args.key).get("refs") or 1}
    out.one(server.json_at("DELETE", path, query=query, body=body), "key")


COMMANDS = (
    Command("object put", _put, _source),
    Command("object get", _get, _from),
    Command("object list", _list, _which),
    Command("object stat", _stat, _one),
    Command("object rm", _rm, _ending),
)

"""`spear node`: the machines that run agents."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from uuid import UUID

from spear.cli.remote.command import Command
from spear.cli.remote.endings import Ended, Exit
from spear.cli.remote.naming import named
from spear.cli.remote.output import Output, Row
from spear.cli.remote.paging import listed, takes_pages
from spear.cli.remote.server import Server

_PAGE = 1000
_SHOWN = 5
_COLUMNS = ("uuid", "name", "ip_address", "port", "http_port", "status", "last_heartbeat", "registered_at")


def _which(parser: ArgumentParser) -> None:
    takes_pages(parser)
    parser.add_argument("--status", default="", help="only nodes of this status, such as online")


def _list(args: Namespace, server: Server, out: Output) -> None:
    """List nodes in the order in which they were registered."""
    page = listed(server, args, "nodes", key="nodes", status=args.status)
    out.rows(page if out.json else {**page, "nodes": map(_told_apart, page["nodes"])}, "nodes", _COLUMNS)


def _told_apart(node: Row) -> Row:
    drained = ", drained" if node["drained"] else ""
    return {**node, "name": node["metadata"].get("name"), "status": f"{node['status']}{drained}"}


def _one(parser: ArgumentParser) -> None:
    parser.add_argument("node", type=named, metavar="NODE", help="the node's uuid, or its name if no other has it")


def _uuid_of(node: str, server: Server) -> str:
    """The uuid of a node that is given by it or by name; raises `Ended` when none or several have that name."""
    try:
        return str(UUID(node))
    except ValueError:
        uuids = [one["uuid"] for one in _all(server) if one["metadata"].get("name") == node]
    if not uuids:
        raise Ended(f"node {node!r} not found: no node has this uuid or name", Exit.NOT_FOUND, code="NODE_NOT_FOUND")
    if len(uuids) > 1:
        more = f" and {len(uuids) - _SHOWN} more" if len(uuids) > _SHOWN else ""
        text = f"node {node!r}: {len(uuids)} nodes have this name, so give a uuid: {', '.join(uuids[:_SHOWN])}{more}"
        raise Ended(text, Exit.REFUSED, code="AMBIGUOUS_NAME", details={"uuids": uuids})
    return str(uuids[0])


def _all(server: Server) -> Iterator[Row]:
    page = {"next_after": ""}
    while page:
        page = server.get("nodes", limit=_PAGE, after=page["next_after"])
        yield from page["nodes"]
        page = page if page["next_after"] else {}


def _show(args: Namespace, server: Server, out: Output) -> None:
    """Show a node with the resources that it last reported."""
    node = server.get("nodes", _uuid_of(args.node, server), "with-resource")
    if out.json:
        out.record(node)
    else:
        out.record({**node, **node.get("resource", {})}, without=("resource", "node_uuid"))


def _why(parser: ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--reason", default="", help="kept with the fact")


def _drain(args: Namespace, server: Server, out: Output) -> None:
    """Give a node no new work; what runs there goes on."""
    _tell(args, server, out, drained=True)


def _undrain(args: Namespace, server: Server, out: Output) -> None:
    """Give a drained node work again."""
    _tell(args, server, out, drained=False)


def _tell(args: Namespace, server: Server, out: Output, *, drained: bool) -> None:
    uuid, deed = _uuid_of(args.node, server), "drain" if drained else "undrain"
    answer = server.json("POST", "nodes", uuid, deed, body={"reason": args.reason})
    out.one({"node_uuid": uuid, **answer}, "node_uuid")


COMMANDS = (
    Command("node list", _list, _which),
    Command("node show", _show, _one),
    Command("node drain", _drain, _why),
    Command("node undrain", _undrain, _why),
)

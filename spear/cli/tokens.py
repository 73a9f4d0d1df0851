"""`spear_server.py --new-token, --list-tokens, --revoke-token`: on a data directory, whether a server has it or not."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from spear._config_sources import AboutTokens
from spear.adapters.rest.resources.tokens import token_json
from spear.config import Config, Role
from spear.domain.token import TokenRole
from spear.errors import SpearError, StartupError
from spear.events.record import Origin
from spear.services.tokens import Tokens

Row = Mapping[str, Any]
Opened = Callable[[Config], AbstractContextManager[Tokens]]
_CLI = Origin("cli")
_TIMEOUT_S = 30.0


class Keeper(Protocol):
    """Who keeps the tokens: a running server, or the data directory itself."""

    def issue(self, name: str, role: TokenRole) -> str:
        """A new token."""

    def revoke(self, name: str) -> None:
        """End one."""

    def rows(self) -> Iterator[Row]:
        """All of them, as REST shows them."""


class _Stopped:
    """A data directory that nobody serves."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def issue(self, name: str, role: TokenRole) -> str:
        return self._tokens.issue(_CLI, name, role)[0]

    def revoke(self, name: str) -> None:
        self._tokens.revoke(_CLI, name, "revoked by request")

    def rows(self) -> Iterator[Row]:
        return map(token_json, self._tokens.list())


class _Connection(HTTPConnection):
    """HTTP to a local socket, reached through its folder: long paths do not fit into its address."""

    def __init__(self, door: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._door = door

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        folder = os.open(self._door.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._door.name}")
        finally:
            os.close(folder)


class _Running:
    """The server of a data directory, asked at its door."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def issue(self, name: str, role: TokenRole) -> str:
        return str(self._ask("POST", "", {"name": name, "role": role.value})["token"])

    def revoke(self, name: str) -> None:
        self._ask("DELETE", "/" + quote(name, safe=""))

    def rows(self) -> Iterator[Row]:
        after = -1
        while after:
            page = self._ask("GET", f"?limit=1000&after={max(after, 0)}")
            yield from page["tokens"]
            after = page["next_after"]

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, "/api/v1/tokens" + path, sent, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as error:
            raise StartupError(f"the running server does not answer: {error}; is it stopping? Try again") from error
        if answer.status >= 400:
            raise SpearError(said["message"], code=said["error"])
        return said


def about_tokens(config: Config, asked: AboutTokens, *, opened: Opened) -> int:
    """Do what the command line asks about tokens; 0. Raises `SpearError` when it is refused."""
    with _keeper(config, opened, new=asked.new is not None) as keeper:
        if asked.new is not None:
            print(keeper.issue(asked.new, TokenRole(asked.role)))
            print(f"This is the token of {asked.new}. It is shown this once; nobody keeps it but you.", file=sys.stderr)
        elif asked.revoke is not None:
            keeper.revoke(asked.revoke)
            print(f"The token of {asked.revoke} opens nothing any more.", file=sys.stderr)
        else:
            print("\n".join(_table(keeper.rows())))
    return 0


@contextmanager
def _keeper(config: Config, opened: Opened, *, new: bool) -> Iterator[Keeper]:
    connection = _Connection(config.door)
    try:
        connection.connect()
    except OSError:  # nobody is there: the data directory is ours, or its lock will tell who has it
        connection.close()
        found = _as_found(config)
        if not new and not found.log_path.exists():  # only a token's issue may begin a log
            raise StartupError(f"data_dir: no log in {config.data_dir}, so nobody has a token for it") from None
        with opened(found) as tokens:
            yield _Stopped(tokens)
    else:
        try:
            yield _Running(connection)
        finally:
            connection.close()


def _as_found(config: Config) -> Config:
    """The configuration of the role whose log lies in the data directory."""
    own = config.data_dir / "spearlet.db"
    return replace(config, role=Role.SPEARLET, log_path=own) if own.exists() else config


def _table(rows: Iterator[Row]) -> Iterator[str]:
    yield f"{'NAME':<24} {'ROLE':<9} {'NODE':<37} {'ISSUED':<21} STATE"
    for row in rows:
        issued = datetime.fromtimestamp(row["issued_at_ms"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        state = "revoked" if row["revoked"] else "good"
        yield f"{row['name']:<24} {row['role']:<9} {row['node_uuid'] or '-':<37} {issued:<21} {state}"

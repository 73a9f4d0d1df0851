"""Tokens: who is it that asks, and issue, bind, revoke. Every door asks `Tokens.admit`."""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest

from spear.domain.token import Token, TokenRole
from spear.errors import Forbidden, Invalid, NotFound, SpearError, Unauthenticated
from spear.events.record import Committed, Origin
from spear.projections import tokens as views
from spear.projections.nodes import get_node
from spear.projections.reader import Reader
from spear.services.passes import Gate
from spear.services.unit import Unit, as_uuid, retrying

ANOTHER_NODE = "ANOTHER_NODE"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name and role of a token, the node that it is bound to, and its hash."""

    name: str
    role: TokenRole
    node_uuid: str = ""
    sha256: str = field(default="", repr=False)

    def actor(self, door: str) -> str:
        """How events name the caller, such as `rest:alice`; without a token, the door alone."""
        return f"{door}:{self.name}" if self.name else door

    def check(self, roles: Collection[TokenRole], what: str) -> None:
        """Raise `Forbidden` unless the role is one of these; an admin's always is."""
        if self.role is not TokenRole.ADMIN and self.role not in roles:
            raise Forbidden(
                f"{what} is not for role {self.role}", details={"token": self.name, "role": self.role.value}
            )

    def speaks_for(self, node_uuid: str) -> None:
        """Raise `Forbidden` for a node's token that is not this node's."""
        if self.role is TokenRole.NODE and self.node_uuid != str(as_uuid("node", node_uuid)):
            bound = f"node {self.node_uuid}" if self.node_uuid else "no node yet"
            raise Forbidden(f"token {self.name!r} is bound to {bound} and speaks for no other", code=ANOTHER_NODE)


ANYBODY = Caller("", TokenRole.ADMIN)


class Tokens:
    """Who may come in. `secret` makes a new text with at least 128 bits that nobody can guess, so one SHA-256 hides it."""

    def __init__(self, unit: Unit, reader: Reader, *, secret: Callable[[], str], gate: Gate | None = None) -> None:
        self._unit, self._reader, self._secret = unit, reader, secret
        self.gate = gate or Gate()
        self._lasting: dict[object, tuple[str, Callable[[SpearError], None]]] = {}

    def admit(self, authorization: str, *, open_door: bool) -> Caller:
        """Whose token this is, from `Bearer <token>` as HTTP and gRPC metadata carry it; raises `Unauthenticated`.

        At an open door nobody needs one, but one that is brought must be good.
        """
        if not authorization:
            if open_door:
                return ANYBODY
            raise Unauthenticated("authorization: missing, expected Bearer and a token")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("authorization: expected the scheme Bearer and a token")
        digest = _hash(token.strip())
        row = views.token_with(self._reader, digest)  # an index's timing tells of hashes, which nobody can choose
        if row is None or not compare_digest(row.sha256, digest):
            raise _revoked()
        return Caller(row.name, TokenRole(row.role), row.node_uuid, digest)

    @contextmanager
    def while_good(self, caller: Caller, end: Callable[[SpearError], None]) -> Iterator[None]:
        """For what lasts: `end` is called once with the reason, should the caller's token be revoked within the `with`.

        Raises `Unauthenticated` when it was revoked before.
        """
        if not caller.sha256:
            yield
            return
        ticket = object()
        self._lasting[ticket] = caller.sha256, end
        try:
            if views.token_with(self._reader, caller.sha256) is None:
                raise _revoked()
            yield
        finally:
            self._lasting.pop(ticket, None)

    def end_revoked(self) -> None:
        """End what lasts and was begun with a token that is good no longer."""
        begun_with = {digest for digest, _ in self._lasting.values()}
        gone = {digest for digest in begun_with if views.token_with(self._reader, digest) is None}
        for ticket in [ticket for ticket, (digest, _) in self._lasting.items() if digest in gone]:
            self._lasting.pop(ticket)[1](_revoked())

    def issue(self, origin: Origin, name: str, role: TokenRole) -> tuple[str, Committed]:
        """A new token, which is told only now; raises `AlreadyExists` while somebody has one of this name."""
        if not _NAME.fullmatch(name):
            expected = "1 to 64 letters, digits, dots, underscores or dashes, the first a letter or digit"
            raise Invalid.field("name", name, expected)
        token = self._secret()

        def attempt() -> Committed:
            known = self._unit.blank_or_loaded(Token, Token.ident(name))
            known.issue(name, role, _hash(token))
            return self._unit.save(origin, known)

        return token, retrying(attempt)

    def revoke(self, origin: Origin, name: str, reason: str) -> Committed:
        """The token opens nothing any more; raises `NotFound`."""

        def attempt() -> Committed:
            known = self._unit.blank_or_loaded(Token, Token.ident(name))
            known.revoke(name, reason)
            return self._unit.save(origin, known)

        return retrying(attempt)

    def get(self, name: str) -> views.TokenRow:
        """The token of this name, good or revoked; raises `NotFound`."""
        row = views.get_token(self._reader, name)
        if row is None:
            raise NotFound.noun("token", name)
        return row

    def list(self) -> Iterator[views.TokenRow]:
        """Every token in the order of first issue, revoked ones too."""
        after = -1
        while after:
            page = views.list_tokens(self._reader, after=max(after, 0), limit=1000)
            yield from page.rows
            after = page.next_after

    def any(self) -> bool:
        """Whether somebody could come in."""
        return views.any_token(self._reader)

    def of_new_node(self, caller: Caller, uuid: str = "") -> Token | None:
        """The token to bind to the node that the caller registers; None for who is no node.

        The node may name its own uuid, and so register again. Raises `Forbidden` while that uuid, or the node that the
        token was bound to, is registered as another one's.
        """
        if caller.role is not TokenRole.NODE:
            return None
        token = self._unit.blank_or_loaded(Token, Token.ident(caller.name))
        for other in {token.node_uuid, uuid} - {""} if token.node_uuid != uuid else ():
            self._refuse_registered(caller, other, bound=other == token.node_uuid)
        return token

    def _refuse_registered(self, caller: Caller, uuid: str, *, bound: bool) -> None:
        if get_node(self._reader, uuid):
            text = f"is bound to node {uuid}, which" if bound else f"is not bound to node {uuid}, which"
            raise Forbidden(
                f"token {caller.name!r} {text} is registered", code=ANOTHER_NODE, details={"node_uuid": uuid}
            )


def _revoked() -> Unauthenticated:
    return Unauthenticated("authorization: the token is unknown or was revoked")


def _hash(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()

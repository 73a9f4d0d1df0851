"""A right to come in: a name, a role, and the hash of a secret that only its holder has."""

from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import Aggregate, named, topic
from spear.errors import AlreadyExists, Invalid, NotFound


class TokenRole(StrEnum):
    """What the holder of a token may do."""

    ADMIN = "admin"
    OPERATOR = "operator"
    NODE = "node"
    CLIENT = "client"


@topic("token")
class Token(Aggregate):
    """A name that at most one secret opens a door for; its id follows from the name, which may be given out again."""

    class TokenIssued(Aggregate.Event):
        name: str
        role: str
        sha256: str

    class TokenBound(Aggregate.Event):
        name: str
        node_uuid: str

    class TokenRevoked(Aggregate.Event):
        name: str
        reason: str

    def begin(self) -> None:
        """Nobody has it yet."""
        self.name = self.role = self.sha256 = self.node_uuid = ""

    @staticmethod
    def ident(name: str) -> UUID:
        """The id of the stream of this name."""
        return named("token", name)

    def issue(self, name: str, role: TokenRole, sha256: str) -> None:
        """Give it out; refused while somebody has it."""
        if self.sha256:
            text = f"token {name!r} already exists; revoke it first"
            raise AlreadyExists(text, code="TOKEN_EXISTS", details={"field": "name"})
        self._issued(name, role.value, sha256)

    def bind(self, node_uuid: str) -> None:
        """From now on its holder is this node."""
        if self.role != TokenRole.NODE:
            raise Invalid.field("role", self.role, "node, for a token that is bound to one")
        if self.node_uuid != node_uuid:
            self._bound(self.name, node_uuid)

    def revoke(self, name: str, reason: str) -> None:
        """It opens nothing any more; raises `NotFound` when it does not anyway."""
        if not self.sha256:
            raise NotFound.noun("token", name)
        self._revoked(name, reason)

    @event(TokenIssued)
    def _issued(self, name: str, role: str, sha256: str) -> None:
        self.name, self.role, self.sha256, self.node_uuid = name, role, sha256, ""

    @event(TokenBound)
    def _bound(self, name: str, node_uuid: str) -> None:
        self.node_uuid = node_uuid

    @event(TokenRevoked)
    def _revoked(self, name: str, reason: str) -> None:
        self.sha256 = self.node_uuid = ""

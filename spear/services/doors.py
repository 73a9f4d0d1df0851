"""The words in which the table of each door says who may ask, and what they come to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from spear.domain.token import TokenRole
from spear.errors import Unauthenticated
from spear.protocols import passes
from spear.services.passes import Passes
from spear.services.tokens import ANYBODY, Caller, Tokens

_ANYBODY, _ITSELF, _OWNER, _FLEET = "anybody", "itself", "owner", "fleet"


@dataclass(frozen=True, slots=True)
class Row:
    """Who besides an admin: roles, `anybody` without a token, a node that the request names as `itself`, the `fleet` with a pass.

    The client that is the `owner` of what the request names passes here; whether it is, the service checks.
    """

    roles: frozenset[TokenRole]
    anybody: bool
    itself: bool
    fleet: bool

    def admit(self, tokens: Tokens, authorization: str, what: str, *, open_door: bool) -> Caller:
        """Who asks for `what`; raises `Unauthenticated` or `Forbidden`. Of which node it speaks is not known yet."""
        open_door = open_door or self.anybody
        if passes.is_one(authorization):
            return self._passed(tokens, authorization, what, open_door=open_door)
        caller = tokens.admit(authorization, open_door=open_door)
        caller.check(self.roles, what)
        return caller

    def _passed(self, tokens: Tokens, authorization: str, what: str, *, open_door: bool) -> Caller:
        """Who shows a pass; at an open door it need not be good, since an SMS shows one at every node."""
        if holder := tokens.gate.holder(authorization) if self.fleet else "":
            return Caller(f"fleet:{holder}", TokenRole.OPERATOR)
        if not open_door:
            raise Unauthenticated(
                f"authorization: the pass is not of this node's SMS, or too old, or {what} takes none"
            )
        return ANYBODY


def row(who: str) -> Row:
    """What words such as `operator itself` come to."""
    words = set(who.split())
    meant = {_ITSELF: TokenRole.NODE, _OWNER: TokenRole.CLIENT}
    named = {meant.get(word) or TokenRole(word) for word in words - {_ANYBODY, _FLEET}}
    roles = frozenset(TokenRole if _ANYBODY in words else named)
    return Row(roles, _ANYBODY in words, _ITSELF in words, _FLEET in words)


ADMINS, ALL = row("admin"), row("operator node client")


def sent_on(caller: Caller, node_uuid: str, issuing: Passes) -> str:
    """A pass with which the caller may go to a node; none for a node's token that no node has registered with."""
    nobody = caller.role is TokenRole.NODE and not caller.node_uuid
    return "" if nobody else issuing.issue(node_uuid, caller.node_uuid)


def markdown(what: str, rows: Iterable[tuple[str, str]]) -> str:
    """A door's table as docs/security.md shows it; each row is a name and its words."""
    roles = [role.value for role in TokenRole]
    lines = [f"| {what} | {' | '.join(roles)} |", "|---|" + "---|" * len(roles)]
    for name, who in rows:
        cells = " | ".join(_cell(who.split(), role) for role in roles)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(who: list[str], role: str) -> str:
    if _ANYBODY in who:
        return "no token"
    if (role == TokenRole.NODE and _ITSELF in who) or (role == TokenRole.CLIENT and _OWNER in who):
        return "its own"
    return "yes" if role == TokenRole.ADMIN or role in who else ""


def events_for(tokens: Tokens, *, open_door: bool) -> Callable[[str], Caller]:
    """Lets in, by the token alone, who may follow the log; raises `Unauthenticated` or `Forbidden`."""
    who = row("operator")

    def admit(token: str) -> Caller:
        return who.admit(tokens, f"Bearer {token}" if token else "", "the event bus", open_door=open_door)

    return admit

"""Tokens that were issued: rows, folds, queries."""

import msgspec

from spear.domain.token import Token
from spear.events.record import Recorded
from spear.projections.reader import Page, Reader
from spear.projections.tables import Sheets, Table


class TokenRow(msgspec.Struct, gc=False):
    """A token by name; `sha256` is empty once it was revoked, `seq` is the position of its first issue."""

    name: str
    seq: int
    role: str
    sha256: str
    node_uuid: str
    issued_at_us: int
    revoked_at_us: int = 0


TOKENS = Table("tokens", TokenRow, indexes=("sha256",))


def _issued(sheets: Sheets, fact: Recorded, e: Token.TokenIssued) -> None:
    earlier = sheets[TOKENS].look(e.name)
    seq = earlier.seq if earlier else fact.position
    sheets[TOKENS][e.name] = TokenRow(e.name, seq, e.role, e.sha256, "", fact.time_us)


def _bound(sheets: Sheets, fact: Recorded, e: Token.TokenBound) -> None:
    row = sheets[TOKENS][e.name]
    if row:
        row.node_uuid = e.node_uuid


def _revoked(sheets: Sheets, fact: Recorded, e: Token.TokenRevoked) -> None:
    row = sheets[TOKENS][e.name]
    if row:
        row.sha256, row.revoked_at_us = "", fact.time_us


FOLDS = {Token.TokenIssued: _issued, Token.TokenBound: _bound, Token.TokenRevoked: _revoked}


def get_token(reader: Reader, name: str) -> TokenRow | None:
    """The token of this name, good or revoked."""
    return reader.get(TOKENS, name)


def token_with(reader: Reader, sha256: str) -> TokenRow | None:
    """The good token with this hash."""
    found = reader.rows(TOKENS, "sha256 = ?", (sha256,))
    return found[0] if found and sha256 else None


def list_tokens(reader: Reader, *, after: int = 0, limit: int = 100) -> Page[TokenRow]:
    """Tokens in the order of their first issue."""
    return reader.page(TOKENS, {}, after=after, limit=limit)


def any_token(reader: Reader) -> bool:
    """Whether there is a good one."""
    return bool(reader.values("SELECT 1 FROM tokens WHERE sha256 != '' LIMIT 1"))

"""Tokens: who has one; issue and revoke. The token itself is told once and kept by nobody but its holder."""

from typing import Any

from spear.adapters.rest.requests import origin, wrote
from spear.adapters.rest.resources.nodes import Done
from spear.adapters.rest.schemas import Resource, Taken, Text, answer, choice, whole
from spear.domain.token import TokenRole
from spear.projections import tokens as views
from spear.projections.tokens import TokenRow
from spear.services.platform import Platform


class TokenIn(Taken):
    """For whom the token is, and what its holder may do."""

    name = Text(64, least=1, required=True)
    role = choice(TokenRole, required=True)


class TokenQuery(Taken):
    """Which page."""

    after = whole(0, 2**53, strict=False, load_default=0)
    limit = whole(1, 1000, strict=False, load_default=100)


_TOKEN = {"name": str, "role": TokenRole, "node_uuid": str, "revoked": bool, "issued_at_ms": int, "revoked_at_ms": int}
NewToken = answer("NewToken", name=str, role=TokenRole, token=str)
TokenOut = answer("Token", **_TOKEN)
TokenList = answer("Tokens", tokens=[TokenOut], total_count=int, next_after=int)


def token_json(row: TokenRow) -> dict[str, Any]:
    """What is known of a token; neither it nor its hash."""
    return {
        "name": row.name,
        "role": row.role,
        "node_uuid": row.node_uuid,
        "revoked": not row.sha256,
        "issued_at_ms": row.issued_at_us // 1000,
        "revoked_at_ms": row.revoked_at_us // 1000,
    }


def make(platform: Platform) -> Resource:
    """The routes under /api/v1/tokens."""
    api = Resource("tokens", __name__, url_prefix="/api/v1/tokens", description="Who may come in")
    service = platform.tokens

    @api.post("")
    @api.body(TokenIn)
    @api.answers(NewToken, status=201, refuses=(409, 503))
    def issue(body: dict[str, Any]) -> Any:
        """A new token. It is told here and never again."""
        token, committed = service.issue(origin(), body["name"], TokenRole(body["role"]))
        wrote(committed)
        return {"name": body["name"], "role": body["role"], "token": token}, 201, {"Cache-Control": "no-store"}

    @api.get("")
    @api.query(TokenQuery)
    @api.answers(TokenList)
    def list_tokens(query: dict[str, Any]) -> Any:
        """Tokens in the order of their first issue, revoked ones too."""
        page = views.list_tokens(platform.reader, **query)
        tokens = [token_json(row) for row in page.rows]
        return {"tokens": tokens, "total_count": page.total, "next_after": page.next_after}

    @api.delete("/<name>")
    @api.answers(Done, refuses=(404, 503))
    def revoke(name: str) -> Any:
        """The token opens nothing any more; its name may be given out again."""
        wrote(service.revoke(origin(), name, "revoked by request"))
        return {"success": True, "message": "Token revoked"}

    return api

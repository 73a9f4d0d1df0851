"""Passes: words with which an SMS sends somebody to one of its nodes, and which only that node and the SMS can make."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hmac import compare_digest, digest

SMS = "sms"
_BEGIN = "Bearer spear_pass."
_FORM = re.compile(r"Bearer spear_pass\.([A-Za-z0-9-]{1,64})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


def key_of(secret: bytes, node_uuid: str) -> bytes:
    """What the SMS with this secret shares with one node."""
    return digest(secret, node_uuid.encode(), "sha256")


def written(key: bytes, holder: str, issued_s: int) -> str:
    """A pass for `holder`: "sms", or the uuid of a node that the SMS sends; times in seconds of the SMS's clock."""
    seal = digest(key, f"{holder}.{issued_s}".encode(), "sha256")
    return f"spear_pass.{holder}.{issued_s}.{urlsafe_b64encode(seal).decode().rstrip('=')}"


def is_one(authorization: str) -> bool:
    """Whether somebody shows a pass, good or not, as HTTP and gRPC metadata carry it."""
    return authorization.startswith(_BEGIN)


def read(key: bytes, authorization: str) -> tuple[str, int] | None:
    """Whose pass it is and when it was issued; None for one that was not made with this key."""
    found = _FORM.fullmatch(authorization)
    if found is None or not key:
        return None
    holder, issued, seal = found.groups()
    made = digest(key, f"{holder}.{issued}".encode(), "sha256")
    return (holder, int(issued)) if compare_digest(made, urlsafe_b64decode(f"{seal}=")) else None

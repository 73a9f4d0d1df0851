"""Which part of a list: a bounded number of rows, and a text that continues after the last one."""

from spear.errors import Invalid

USUAL = 50


def limit(given: int, most: int = 1000) -> int:
    """How many rows; 0 or less is the usual number."""
    return min(given, most) if given > 0 else USUAL


def cursor(token: str) -> int:
    """The position that a page token stands for."""
    if token and not (token.isascii() and token.isdigit() and len(token) < 19):
        raise Invalid.field("page_token", token, "the next_page_token of the page before")
    return int(token or 0)


def token(cursor: int) -> str:
    """The page token that stands for a position."""
    return str(cursor or "")

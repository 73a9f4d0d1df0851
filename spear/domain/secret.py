"""What may be kept of a secret: where it is found, never the secret itself."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlsplit

from spear.errors import Invalid

_SECRET = re.compile(
    r"(?i)(api|access|private|secret)[_-]?key|authorization|token(?![a-z])|secret|passw|cookie|credential"
)
_PLACE = re.compile(r"(?i)[_-](file|path)$")
_REFERENCE = re.compile(r"([A-Za-z]+ )?\$\{ENV:[A-Za-z_][A-Za-z0-9_]*(:-)?\}")


def is_secret(name: str) -> bool:
    """Whether a value of this name is a secret, and not where to find one."""
    return bool(_SECRET.search(name)) and not _PLACE.search(name)


def check_references(field: str, values: Mapping[str, str]) -> None:
    """Raise `Invalid` for a value whose name says that it is a secret, unless it only says where to find it."""
    _check(field, values.items())


def check_url(field: str, url: str) -> None:
    """Raise `Invalid` unless it is an http(s) URL that carries no secret; its text is not told again."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise Invalid(f"{field}: expected an http:// or https:// URL", details={"field": field})
    if "@" in parts.netloc:
        raise _clear(field, "a user and password")
    _check(field, parse_qsl(parts.query, keep_blank_values=True))


def _check(field: str, values: Iterable[tuple[str, str]]) -> None:
    for name, value in values:
        if is_secret(name) and value and not _REFERENCE.fullmatch(value):
            raise _clear(f"{field}.{name}", "a secret")


def _clear(field: str, what: str) -> Invalid:
    text = f"{field}: got {what} in the clear, expected a reference such as ${{ENV:NAME}}, which the node resolves"
    return Invalid(text, details={"field": field})

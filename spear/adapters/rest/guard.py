"""What stands before an application: pages of foreign names and origins stay out, and the admin asks who comes."""

import re
from base64 import b64decode
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from spear.adapters.rest import errors, rules
from spear.adapters.rest.requests import Environ
from spear.adapters.rest.server import OPEN, Wsgi
from spear.config import Address, Http
from spear.domain.token import TokenRole
from spear.errors import Forbidden, SpearError, Unauthenticated
from spear.services.tokens import Tokens

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
_READING = ("GET", "HEAD", "OPTIONS")
_ASK = 'Basic realm="SPEAR: any user name, the token as password"'


class Guard:
    """Refuses requests that a browser sends on behalf of a foreign page: a foreign Host (DNS rebinding) or Origin.

    Programs send no Origin. A literal address cannot be rebound, so beyond loopback any is taken.
    """

    def __init__(self, app: Wsgi, address: Address, http: Http) -> None:
        self._app, self._loopback, self._origins = app, address.loopback, frozenset(http.origins)
        self._names = {"localhost", address.host.lower(), *http.hosts}
        self._usual = {f"{name}{port}" for name in self._names for port in ("", f":{address.port}")}

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Hand the request on, or refuse it."""
        try:
            if environ.get("HTTP_HOST", "localhost") not in self._usual:
                self._check_host(environ["HTTP_HOST"])
            if "HTTP_ORIGIN" in environ:
                self._check_origin(environ, environ["HTTP_ORIGIN"])
        except Forbidden as error:
            return refuse(error, environ, start_response)
        return self._app(environ, start_response)

    def _check_host(self, given: str) -> None:
        found = _HOST.fullmatch(given)
        name = (found[1] or found[2]).lower().rstrip(".") if found else ""
        if name not in self._names and not self._is_literal(name):
            text = f"Host: got {given[:120]!r}, expected localhost, an address of this machine, or a name of http.hosts"
            raise Forbidden(text, code="FOREIGN_HOST")

    def _is_literal(self, name: str) -> bool:
        try:
            return ip_address(name).is_loopback or not self._loopback
        except ValueError:
            return False

    def _check_origin(self, environ: Environ, given: str) -> None:
        origin = given.lower()
        if origin in self._origins or origin.partition("://")[2] == environ.get("HTTP_HOST", "none").lower():
            return
        if environ["REQUEST_METHOD"] not in _READING or "HTTP_UPGRADE" in environ:
            raise Forbidden(
                f"Origin: got {given[:120]!r}, expected this server's own or one of http.origins", code="FOREIGN_ORIGIN"
            )
        if "HTTP_AUTHORIZATION" not in environ:
            environ[rules.FOREIGN] = True


class Login:
    """The admin's door: for operators and admins, who bring their token as Bearer, or as password to their browser."""

    def __init__(self, app: Wsgi, tokens: Tokens) -> None:
        self._app, self._tokens = app, tokens

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Hand the request on, or refuse it."""
        try:
            given = _as_bearer(environ.get("HTTP_AUTHORIZATION", ""))
            caller = self._tokens.admit(given, open_door=environ.get(OPEN, False))
            caller.check((TokenRole.OPERATOR,), "the admin")
        except (Unauthenticated, Forbidden) as error:
            return refuse(error, environ, start_response, challenge=_ASK)
        return self._app(environ, start_response)


def _as_bearer(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        return "Bearer " + b64decode(rest).decode("latin-1").partition(":")[2]
    except ValueError:
        return "Bearer "


def refuse(error: SpearError, environ: Environ, start_response: Any, *, challenge: str = "") -> Iterable[bytes]:
    """Answer with the error shape, before any application is asked."""
    response = errors.render(error)
    known_as, started = rules.begin(environ)
    response.headers["X-Request-Id"] = known_as
    if challenge and isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = challenge
    rules.tell(environ["REQUEST_METHOD"], environ["PATH_INFO"], response.status_code, started)
    return response(environ, start_response)

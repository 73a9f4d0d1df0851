"""The one place that turns errors into gRPC's answers: a status, one message, and the error's own code as metadata."""

import logging
from typing import Any, NoReturn

import grpc

from spear.errors import SpearError

log = logging.getLogger(__name__)
CODE_KEY = "x-error-code"
_BUGS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)


def status_of(error: SpearError) -> grpc.StatusCode:
    """The status that callers of gRPC hear for an error."""
    return grpc.StatusCode[error.grpc_status]


def refuse(context: Any, error: SpearError) -> NoReturn:
    """End the call with an error that was raised on purpose."""
    status = status_of(error)
    if status in _BUGS:
        log.error("%s: %s", error.code, error.message)
    told = [(CODE_KEY, error.code)]
    if "retry_after_s" in error.details:
        told.append(("retry-after", str(error.details["retry_after_s"])))
    context.set_trailing_metadata(tuple(told))
    context.abort(status, error.message)
    raise AssertionError("abort returned")


def expect_no_bug(context: Any, correlation: str) -> None:
    """What the caller hears if the call ends by an exception that nobody raised on purpose."""
    context.set_code(grpc.StatusCode.INTERNAL)
    context.set_details(f"an unexpected error; the server's log tells more under correlation {correlation}")


def no_bug(context: Any) -> None:
    """The call ended well."""
    context.set_code(grpc.StatusCode.OK)
    context.set_details("")

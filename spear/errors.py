"""The one tree of errors that SPEAR raises on purpose; whatever is not in it is a bug.

SpearError
├── Invalid                422  INVALID_ARGUMENT     a field is malformed
│   └── Malformed          400  INVALID_ARGUMENT     the request itself cannot be read
├── Unauthenticated        401  UNAUTHENTICATED      nobody knows who asks
├── Forbidden              403  PERMISSION_DENIED    it is known who asks, and that is not enough
├── NotFound               404  NOT_FOUND            <NOUN>_NOT_FOUND
├── Refused                409  FAILED_PRECONDITION  the state does not allow it
│   ├── AlreadyExists      409  ALREADY_EXISTS       a unique name is taken
│   ├── Conflict           409  ABORTED              somebody else changed it first; read again and retry
│   │   └── PreconditionFailed  412  ABORTED         an If-Match or If-None-Match did not hold
│   ├── CursorReset        409  FAILED_PRECONDITION  the cursor is of another log or of a past that was undone
│   └── CursorGap          409  OUT_OF_RANGE         what follows the cursor is no longer in the log
├── TooLarge               413  RESOURCE_EXHAUSTED   over a byte limit
├── UnsatisfiableRange     416  OUT_OF_RANGE         a byte range outside the content
├── InvalidConfiguration   422  FAILED_PRECONDITION  an executable that can never run
├── Overloaded             429  RESOURCE_EXHAUSTED   try again after `retry_after_s`
├── ExecutionFailed        502  UNKNOWN              the agent failed
├── Unavailable            503  UNAVAILABLE          nothing can be accepted now (disk full, I/O error, stopping)
├── ExecutionTimedOut      504  DEADLINE_EXCEEDED    the agent ran out of time
├── Corrupt                500  DATA_LOSS            stored bytes do not match their hash
└── StartupError           -    -                    configuration, port or data directory; the process exits 2
"""

from collections.abc import Mapping
from typing import TypeAlias

Detail: TypeAlias = str | int | float | bool | None | list[str]


class SpearError(Exception):
    """An error with a stable `code`, a message for a person and `details` for a program."""

    code = "INTERNAL"
    http_status = 500
    grpc_status = "INTERNAL"

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, Detail] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = dict(details or {})


class Invalid(SpearError):
    """A field has a value that can never be accepted; names the field, the value and what was expected."""

    code, http_status, grpc_status = "INVALID_ARGUMENT", 422, "INVALID_ARGUMENT"

    @classmethod
    def field(cls, name: str, value: object, expected: str) -> "Invalid":
        """Build the one message that every bad field gets; long values are cut."""
        shown = repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        return cls(f"{name}: got {shown}, expected {expected}", details={"field": name, "value": shown})


class Malformed(Invalid):
    """The request cannot be read at all: broken JSON, a bad query string, a bad header."""

    code, http_status = "MALFORMED_REQUEST", 400


class Unauthenticated(SpearError):
    """A token is missing, unknown or revoked; never says what was sent."""

    code, http_status, grpc_status = "UNAUTHENTICATED", 401, "UNAUTHENTICATED"


class Forbidden(SpearError):
    """The caller may not do this, or came under a foreign name."""

    code, http_status, grpc_status = "FORBIDDEN", 403, "PERMISSION_DENIED"


class NotFound(SpearError):
    """There is no such thing, or the id could never name one."""

    code, http_status, grpc_status = "NOT_FOUND", 404, "NOT_FOUND"

    @classmethod
    def noun(cls, noun: str, ident: object) -> "NotFound":
        """Build the error for one noun: code `<NOUN>_NOT_FOUND`."""
        return cls(f"{noun} {str(ident)[:120]!r} not found", code=f"{noun.upper().replace(' ', '_')}_NOT_FOUND")


class Refused(SpearError):
    """The request is well formed, but the state of things does not allow it."""

    code, http_status, grpc_status = "REFUSED", 409, "FAILED_PRECONDITION"


class AlreadyExists(Refused):
    """A name that must be unique is taken."""

    code, grpc_status = "ALREADY_EXISTS", "ALREADY_EXISTS"


class Conflict(Refused):
    """Somebody else changed the same thing first; nothing was recorded."""

    code, grpc_status = "CONFLICT", "ABORTED"


class PreconditionFailed(Conflict):
    """The version that the caller named is not the current one."""

    code, http_status = "PRECONDITION_FAILED", 412


class CursorReset(Refused):
    """The cursor belongs to no past of this log; `details` says why, and which cursor begins anew."""

    code = "CURSOR_RESET"


class CursorGap(Refused):
    """The log no longer holds what follows the cursor; `details` says what is missing, where it lies, and how to go on."""

    code, grpc_status = "CURSOR_GAP", "OUT_OF_RANGE"


class TooLarge(SpearError):
    """More bytes than the limit allows; nothing was kept."""

    code, http_status, grpc_status = "TOO_LARGE", 413, "RESOURCE_EXHAUSTED"


class UnsatisfiableRange(SpearError):
    """The byte range lies outside the content; `details.size` is the content's length."""

    code, http_status, grpc_status = "RANGE_NOT_SATISFIABLE", 416, "OUT_OF_RANGE"


class InvalidConfiguration(SpearError):
    """The executable can never run: not a module, a wrong hash, a missing import."""

    code, http_status, grpc_status = "InvalidConfiguration", 422, "FAILED_PRECONDITION"


class Overloaded(SpearError):
    """A limit on concurrent work is reached and its queue is full; try again after `retry_after_s` seconds."""

    code, http_status, grpc_status = "OVERLOADED", 429, "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message, details={"retry_after_s": retry_after_s})
        self.retry_after_s = retry_after_s


class ExecutionFailed(SpearError):
    """The agent ran and failed, was cancelled, or could not be started."""

    code, http_status, grpc_status = "EXECUTION_FAILED", 502, "UNKNOWN"


class ExecutionTimedOut(SpearError):
    """The agent did not finish within its wall-time limit."""

    code, http_status, grpc_status = "EXECUTION_TIMEOUT", 504, "DEADLINE_EXCEEDED"


class Unavailable(SpearError):
    """Nothing can be accepted now; what was answered before stands."""

    code, http_status, grpc_status = "UNAVAILABLE", 503, "UNAVAILABLE"


class Corrupt(SpearError):
    """Stored bytes do not match their hash; `details` says where."""

    code, http_status, grpc_status = "CORRUPT", 500, "DATA_LOSS"


class StartupError(SpearError):
    """The process cannot start: one clear line and exit status 2."""

    code = "STARTUP"

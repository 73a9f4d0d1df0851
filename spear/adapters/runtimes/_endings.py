"""How a guest's end is told."""

from spear.adapters.runtimes._guest import COMPUTING, Guest, Halt
from spear.ports import End, Outcome

_OUT_OF_MEMORY = ("exceeds memory limits", "heap out of memory")  # as wasmtime words it


def exited(guest: Guest, code: int) -> Outcome:
    """It returned from `_start` or called `proc_exit`."""
    if code == 0:
        return Outcome(End.COMPLETED, bytes(guest.output), 0, last_action=guest.action)
    return _failed(guest, "exit_code", f"exit code {code}", code=code)


def halted(guest: Guest, halt: Halt) -> Outcome:
    """It had to stop."""
    return _outcome(guest, halt.end, halt.reason, halt.text)


def broken(guest: Guest, text: str) -> Outcome:
    """It trapped by itself, which only computing can do."""
    guest.action = COMPUTING
    return _failed(guest, "trap", f"trap: {text}")


def refused(guest: Guest, text: str) -> Outcome:
    """It could not even be instantiated."""
    return _failed(guest, "start", text)


def _failed(guest: Guest, reason: str, text: str, *, code: int | None = None) -> Outcome:
    if not _out_of_memory(guest, text):
        return _outcome(guest, End.FAILED, reason, text, code=code)
    return _outcome(
        guest, End.FAILED, "memory", f"memory limit of {guest.limits.memory_bytes} bytes reached ({text})", code=code
    )


def _out_of_memory(guest: Guest, text: str) -> bool:
    """Wasmtime does not say when it refused to grow, so failing within an eighth of the limit counts as out of memory."""
    close = guest.memory_size() > guest.limits.memory_bytes * 7 // 8
    return close or any(words in text for words in _OUT_OF_MEMORY)


def _outcome(guest: Guest, end: End, reason: str, text: str, *, code: int | None = None) -> Outcome:
    doing = guest.action if guest.action == COMPUTING else f"in {guest.action}"
    error = f"{text}; the guest was last {doing}"
    return Outcome(end, bytes(guest.output), code, error, reason, guest.action)

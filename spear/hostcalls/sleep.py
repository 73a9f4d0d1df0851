"""Waiting."""

from spear.hostcalls.context import HostContext


def sleep_ms(context: HostContext, milliseconds: int) -> None:
    """Block the guest for `milliseconds`; a negative time is none at all."""
    context.pause(max(0, milliseconds) / 1000)

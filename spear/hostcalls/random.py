"""Chance."""

from spear.hostcalls.context import HostContext


def random_i64(context: HostContext) -> int:
    """A uniformly random signed 64-bit integer."""
    return int.from_bytes(context.random(8), "little", signed=True)

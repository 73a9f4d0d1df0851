"""What time it is."""

from spear.hostcalls.context import HostContext


def time_now_ms(context: HostContext) -> int:
    """Milliseconds since the Unix epoch."""
    return context.clock.now_us() // 1_000


def wall_time_s(context: HostContext) -> int:
    """Seconds since the Unix epoch."""
    return context.clock.now_us() // 1_000_000

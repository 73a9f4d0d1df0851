"""The SMS's own duties: nodes that fall silent go offline, and are cleaned up with what they left."""

from spear.reactors.watchdog import Remains, Watchdog
from spear.roles.loops import Loops
from spear.services.platform import Platform


def start(platform: Platform, loops: Loops) -> None:
    """Begin to watch the fleet."""
    config = platform.config
    watchdog = Watchdog(
        platform.reader,
        platform.nodes,
        clock=platform.clock,
        heartbeat_timeout_s=config.heartbeat_timeout,
        node_removal_after_s=config.node_removal_after,
    )
    remains = Remains(
        platform.log,
        platform.reader,
        platform.executions,
        clock=platform.clock,
        heartbeat_timeout_s=config.heartbeat_timeout,
    )

    def clean_up() -> None:
        watchdog.clean_up()
        remains.end()

    loops.every(min(1.0, config.heartbeat_timeout / 4), watchdog.watch)
    loops.every(config.cleanup_interval, clean_up)

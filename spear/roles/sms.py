"""The SMS's own duties: nodes that fall silent go offline and are cleaned up."""

from spear.reactors.dispatcher import Forwarder
from spear.reactors.watchdog import Watchdog
from spear.roles.loops import Loops
from spear.services.forwards import Forwards
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
    loops.every(min(1.0, config.heartbeat_timeout / 4), watchdog.watch)
    loops.every(config.cleanup_interval, watchdog.clean_up)


def forward(platform: Platform, forwards: Forwards, loops: Loops) -> None:
    """Begin to see through what runs on other nodes."""
    loops.every(0.5, Forwarder(platform.reader, platform.executions, forwards).look, at_once=True)

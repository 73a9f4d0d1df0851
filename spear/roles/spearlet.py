"""A SPEARlet's own duties: end what died with an earlier process, begin what waits, beat, tidy up."""

import logging
from time import monotonic

import gevent

from spear.config import Spearlet
from spear.errors import SpearError, Unavailable
from spear.reactors import janitor
from spear.reactors.dispatcher import DIED, Dispatcher
from spear.reactors.reporter import Reporter
from spear.reactors.watchdog import stop_what_died
from spear.roles.loops import Loops
from spear.services.platform import Platform

log = logging.getLogger(__name__)


def start(platform: Platform, loops: Loops, reporter: Reporter) -> None:
    """Begin to run executions; returns once nothing of an earlier process is left running."""
    config = platform.config
    dispatcher = Dispatcher(platform.reader, platform.executions)
    reporter.report()
    dispatcher.end_lost(DIED)
    stop_what_died(platform.reader, platform.instances)
    loops.every(0.5, dispatcher.dispatch, at_once=True)
    loops.every(1.0, dispatcher.end_lost)
    loops.every(config.spearlet.heartbeat_interval, reporter.report)
    loops.every(1.0, platform.runs.settle)
    idle_s = config.executions.instance_idle_s
    loops.every(
        max(1.0, idle_s / 4), lambda: janitor.stop_idle(platform.instances, clock=platform.clock, idle_s=idle_s)
    )


def link(sms: Reporter, loops: Loops, config: Spearlet) -> None:
    """Keep this node known at its SMS; a process that cannot reach it for too long ends."""
    loops.spawn(lambda: _keep_known(sms, config))


def _keep_known(sms: Reporter, config: Spearlet) -> None:
    retry_s = config.sms_connect_retry_ms / 1000
    last_answer, pause_s = monotonic(), retry_s
    while True:
        try:
            sms.report()
            last_answer, pause_s = monotonic(), retry_s
            gevent.sleep(config.heartbeat_interval)
        except Unavailable as error:
            silent_ms = (monotonic() - last_answer) * 1000
            if silent_ms > config.reconnect_total_timeout_ms:
                raise Unavailable(f"no answer for {silent_ms:.0f} ms, reconnect_total_timeout_ms: {error}") from None
            log.warning("%s; trying again in %.1f s", error.message, pause_s)
            gevent.sleep(pause_s)
            pause_s = min(2 * pause_s, config.heartbeat_interval)
        except SpearError as error:
            log.error("the SMS refuses this node: %s", error.message)
            gevent.sleep(config.heartbeat_interval)

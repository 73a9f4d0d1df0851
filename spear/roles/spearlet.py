"""A SPEARlet's own duties: end what died with an earlier process, resume what waits, beat, tidy up."""

import gevent

from spear.reactors import janitor
from spear.reactors.dispatcher import Dispatcher
from spear.reactors.reporter import Reporter
from spear.reactors.watchdog import end_what_died
from spear.roles.loops import Loops
from spear.services.platform import Platform


def start(platform: Platform, loops: Loops, reporter: Reporter) -> None:
    """Begin to run executions; returns once nothing of an earlier process is left running."""
    config = platform.config
    end_what_died(platform.reader, platform.executions, platform.instances, platform.runs)
    dispatcher = Dispatcher(platform.reader, platform.executions)
    loops.spawn(lambda: _resume(dispatcher))
    loops.every(config.spearlet.heartbeat_interval, reporter.report)
    loops.every(1.0, platform.runs.settle)
    idle_s = config.executions.instance_idle_s
    loops.every(
        max(1.0, idle_s / 4), lambda: janitor.stop_idle(platform.instances, clock=platform.clock, idle_s=idle_s)
    )


def _resume(dispatcher: Dispatcher) -> None:
    while not dispatcher.done:
        dispatcher.dispatch()
        gevent.sleep(0.2)
